package unary

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"supercluster/bench/measure"
)

// patience is how long answers may take after a run.
const patience = 20 * time.Second

// Method is what is called, and where.
type Method struct {
	Address string
	Path    string // /package.Service/Method
	// Next gives the framed message of a client's next call; nil ends the client. It is called from several goroutines.
	Next func(client int) []byte
	// Least is the fewest bytes that a good answer has.
	Least int
}

// Frame makes an encoded message what a call sends: the byte that says that it is not compressed, and its length, before it.
func Frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// Load runs the closed loops of some clients over at most `conns` connections for `run`, after an uncounted warm-up of a fifth of
// it. What is on its way at its end is answered and not counted. A connection that fails ends its loops and is an error.
func Load(ctx context.Context, m Method, clients, conns int, run time.Duration) measure.Sample {
	var (
		wg   sync.WaitGroup
		from = time.Now().Add(run / 5)
		each = make([]loops, min(conns, clients))
	)
	for i := range each {
		l := &each[i]
		*l = loops{method: &m, from: from, until: from.Add(run), took: make([]time.Duration, 0, 1<<14)}
		for client := i; client < clients; client += len(each) {
			l.waiting = append(l.waiting, client)
		}
		wg.Go(func() { l.run(ctx) })
	}
	wg.Wait()

	var took []time.Duration
	failed, last := 0, error(nil)
	for i := range each {
		took = append(took, each[i].took...)
		if each[i].failed > 0 {
			failed, last = failed+each[i].failed, each[i].last
		}
	}
	s := measure.Summary(took, run)
	s.Errors, s.LastError = failed, last
	return s
}

// loops are the closed loops of one connection.
type loops struct {
	method      *Method
	from, until time.Time // what ends between them counts
	waiting     []int     // clients without a call
	took        []time.Duration
	failed      int
	last        error
}

func (l *loops) run(ctx context.Context) {
	c, err := open(l.method.Address, l.method.Path, l.until.Add(patience))
	if err == nil {
		defer c.socket.Close()
		stop := context.AfterFunc(ctx, func() { c.socket.Close() })
		defer stop()
		err = l.turn(c)
	}
	if err != nil {
		l.failed, l.last = l.failed+1, err
	}
}

// turn goes on until the time is over and every call is answered.
func (l *loops) turn(c *conn) error {
	for {
		if err := l.begin(c); err != nil {
			return err
		}
		if len(c.calls) == 0 && len(l.waiting) == 0 {
			return nil // the time is over
		}
		ended, err := c.receive()
		if err != nil {
			return err
		}
		if ended != nil {
			l.end(ended)
		}
	}
}

// begin gives every client without a call its next one, as far as the server takes them.
func (l *loops) begin(c *conn) error {
	for n := len(l.waiting); n > 0; n = len(l.waiting) {
		client := l.waiting[n-1]
		if !c.takes() {
			return nil
		}
		l.waiting = l.waiting[:n-1]
		message := l.method.Next(client)
		if message == nil {
			continue
		}
		if err := c.send(client, message); err != nil {
			return err
		}
	}
	return nil
}

// end judges a call that ended and lets its client make another while there is time.
func (l *loops) end(ended *call) {
	now := time.Now()
	if now.Before(l.until) {
		l.waiting = append(l.waiting, ended.client)
	}
	err := ended.failure(l.method.Least)
	switch {
	case err != nil:
		l.failed, l.last = l.failed+1, err
	case !now.Before(l.from) && now.Before(l.until):
		l.took = append(l.took, now.Sub(ended.started))
	}
}
