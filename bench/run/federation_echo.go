package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"supercluster/chaos/wan"
)

const echoEvery = 40 * time.Millisecond

// echoes are UDP servers, one in each site, that send back what they get: what the lines themselves take.
type echoes struct {
	sites map[string]*echoEnd
	all   sync.WaitGroup
}

type echoEnd struct {
	conn   *net.UDPConn
	public *net.UDPAddr

	mu    sync.Mutex
	trips map[string][]time.Duration // by the address that answered
}

func newEchoes(w *wan.WAN) (*echoes, error) {
	e := &echoes{sites: map[string]*echoEnd{}}
	for _, site := range sitesOf() {
		listen, public, err := w.UDPAddress(site, echoPort)
		if err != nil {
			return nil, err
		}
		end := &echoEnd{trips: map[string][]time.Duration{}}
		if end.public, err = net.ResolveUDPAddr("udp4", public); err != nil {
			return nil, err
		}
		err = w.Inside(site, func() error {
			addr, err := net.ResolveUDPAddr("udp4", listen)
			if err != nil {
				return err
			}
			end.conn, err = net.ListenUDP("udp4", addr)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("echo of %s: %w", site, err)
		}
		e.sites[site] = end
		e.all.Go(end.serve)
	}
	return e, nil
}

// serve answers questions and counts answers. A datagram is a kind and the time at which the question was sent.
func (e *echoEnd) serve() {
	b := make([]byte, 64)
	for {
		n, from, err := e.conn.ReadFromUDP(b)
		switch {
		case err != nil:
			return
		case n != 9:
		case b[0] == '?':
			b[0] = '!'
			_, _ = e.conn.WriteToUDP(b[:n], from) // a datagram may be lost
		default:
			trip := time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(b[1:n]))))
			e.mu.Lock()
			e.trips[from.String()] = append(e.trips[from.String()], trip)
			e.mu.Unlock()
		}
	}
}

// start asks from a site until the function that it gives is called, which answers the round trips by site, sorted.
func (e *echoes) start(from string) (stop func() map[string][]time.Duration) {
	source := e.sites[from]
	source.mu.Lock()
	source.trips = map[string][]time.Duration{}
	source.mu.Unlock()
	done := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(echoEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for site, to := range e.sites {
				if site != from {
					question := binary.BigEndian.AppendUint64([]byte{'?'}, uint64(time.Now().UnixNano()))
					_, _ = source.conn.WriteToUDP(question, to.public)
				}
			}
		}
	})
	return func() map[string][]time.Duration {
		close(done)
		asking.Wait()
		source.mu.Lock()
		defer source.mu.Unlock()
		all := map[string][]time.Duration{}
		for site, to := range e.sites {
			trips := slices.Clone(source.trips[to.public.String()])
			slices.Sort(trips)
			all[site] = trips
		}
		return all
	}
}

func (e *echoes) close() {
	for _, end := range e.sites {
		_ = end.conn.Close()
	}
	e.all.Wait()
}
