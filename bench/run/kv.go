package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/bench/measure"
	"supercluster/bench/unary"
	"supercluster/internal/procs"
)

const (
	keys      = 10_000
	valueSize = 128
	conns     = 16 // at most, for all clients
)

var names = func() [keys]string {
	var all [keys]string
	for i := range all {
		all[i] = fmt.Sprintf("bench/key-%05d", i)
	}
	return all
}()

// side is a store under load: ours, the peer or the floor, through the same number of connections.
type side struct {
	name    string
	address string
	// The messages of a put of each key, and of its reads: linearizable, and what the node has.
	put, linearizable, local calls
}

// calls are a method and one framed message for each key.
type calls struct {
	path     string
	messages [keys][]byte
	least    int // bytes of a good answer
}

// newCalls encodes what is sent before anything is measured: it would count against both sides.
func newCalls(path string, least int, message func(key string) proto.Message) (c calls, err error) {
	c.path, c.least = path, least
	for i, key := range names {
		encoded, err := proto.Marshal(message(key))
		if err != nil {
			return c, err
		}
		c.messages[i] = unary.Frame(encoded)
	}
	return c, nil
}

func ourSide(address string) (side, error) {
	value := make([]byte, valueSize)
	put, err := newCalls(pb.ConfigService_PutConfig_FullMethodName, 1, func(key string) proto.Message {
		return &pb.PutConfigRequest{Config: &pb.Config{Name: key, Value: value, Format: pb.Format_FORMAT_TEXT}}
	})
	get := func(level pb.Consistency) func(string) proto.Message {
		return func(key string) proto.Message {
			return &pb.GetConfigRequest{Name: key, Read: &pb.ReadOptions{Consistency: level}}
		}
	}
	linearizable, err2 := newCalls(pb.ConfigService_GetConfig_FullMethodName, valueSize, get(pb.Consistency_CONSISTENCY_LINEARIZABLE))
	local, err3 := newCalls(pb.ConfigService_GetConfig_FullMethodName, valueSize, get(pb.Consistency_CONSISTENCY_LOCAL))
	return side{"supercluster", address, put, linearizable, local}, errors.Join(err, err2, err3)
}

func etcdSide(address string) (side, error) {
	value := make([]byte, valueSize)
	put, err := newCalls(etcdserverpb.KV_Put_FullMethodName, 1, func(key string) proto.Message {
		return &etcdserverpb.PutRequest{Key: []byte(key), Value: value}
	})
	get := func(serializable bool) func(string) proto.Message {
		return func(key string) proto.Message {
			return &etcdserverpb.RangeRequest{Key: []byte(key), Serializable: serializable}
		}
	}
	linearizable, err2 := newCalls(etcdserverpb.KV_Range_FullMethodName, valueSize, get(false))
	local, err3 := newCalls(etcdserverpb.KV_Range_FullMethodName, valueSize, get(true))
	return side{"etcd", address, put, linearizable, local}, errors.Join(err, err2, err3)
}

// stage is the servers of one size, ours and the peer's, running side by side.
type stage struct {
	group      *procs.Group
	ours, etcd side
	echo       side
}

func newStage(ctx context.Context, opt options, nodes int) (*stage, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return nil, err
	}
	s := &stage{group: group}
	if err := s.start(ctx, opt, nodes); err != nil {
		group.Close()
		return nil, err
	}
	return s, nil
}

func (s *stage) start(ctx context.Context, opt options, nodes int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	region, err := s.group.StartRegion(ctx, opt.binary, nodes)
	if err != nil {
		return err
	}
	if s.ours, err = ourSide(region.Leader); err != nil {
		return err
	}

	members, clients, err := startEtcd(s.group, filepath.Join(opt.peers, "etcd"), nodes)
	if err != nil {
		return err
	}
	leader := ""
	err = procs.WaitUntil(ctx, "etcd", func(ctx context.Context) bool { leader = etcdLeader(ctx, clients); return leader != "" }, members...)
	if err != nil {
		return err
	}
	if s.etcd, err = etcdSide(leader); err != nil {
		return err
	}

	s.echo, err = startEcho(s.group, opt)
	return err
}

// etcdLeader finds the client address of the member that leads, or "".
func etcdLeader(ctx context.Context, clients []string) string {
	for _, address := range clients {
		conns, err := procs.Dial(address, 1)
		if err != nil {
			return ""
		}
		status, err := etcdserverpb.NewMaintenanceClient(conns[0]).Status(ctx, &etcdserverpb.StatusRequest{})
		conns[0].Close()
		if err == nil && status.Leader != 0 && status.Leader == status.Header.MemberId {
			return address
		}
	}
	return ""
}

// fill writes every key once, so that reads find them and puts replace.
func (s *side) fill(ctx context.Context) error {
	var next atomic.Int64
	x := s.load(ctx, &s.put, 64, time.Minute, func() int { return int(next.Add(1)) - 1 })
	if x.Errors > 0 {
		return fmt.Errorf("%s: fill: %w", s.name, x.LastError)
	}
	if next.Load() < keys {
		return fmt.Errorf("%s: fill: %d of %d keys in a minute", s.name, next.Load(), keys)
	}
	return nil
}

// load runs closed loops of calls; key chooses the key of the next one, and ends a client when there is none.
func (s *side) load(ctx context.Context, c *calls, clients int, run time.Duration, key func() int) measure.Sample {
	return unary.Load(ctx, unary.Method{Address: s.address, Path: c.path, Least: c.least, Next: func(int) []byte {
		if i := key(); i < keys {
			return c.messages[i]
		}
		return nil
	}}, clients, conns, run)
}

// operation is one kind of load.
type operation struct {
	name string
	of   func(*side) *calls
}

var (
	puts              = operation{"put", func(s *side) *calls { return &s.put }}
	linearizableReads = operation{"linearizable read", func(s *side) *calls { return &s.linearizable }}
	localReads        = operation{"local read", func(s *side) *calls { return &s.local }}

	writes = []operation{puts}
	reads  = []operation{linearizableReads, localReads}
)

// row names what is measured of an operation against regions of one size, by so many clients.
func (o operation) row(nodes, clients int) string {
	return fmt.Sprintf("%s n=%d c=%d", o.name, nodes, clients)
}

// kvSizes are the nodes and the clients that are measured.
func kvSizes(opt options) (nodes, clients []int) {
	if opt.quick {
		return []int{1, 3}, []int{256}
	}
	return []int{1, 3}, []int{1, 16, 256}
}

// compare runs one operation at one number of clients, ours and the peer's in the order A B B A, with the echo
// floor between, and gives a row of rates and one of latencies.
func (s *stage) compare(ctx context.Context, opt options, op operation, nodes, clients int) ([]measure.Row, error) {
	var ours, theirs, floor [3][]float64
	add := func(to *[3][]float64, x measure.Sample) {
		to[0] = append(to[0], x.PerSecond())
		to[1] = append(to[1], float64(x.P50)/1e3)
		to[2] = append(to[2], float64(x.P99)/1e3)
	}
	// Twice as many rounds of half the length: the speed of the machine drifts within seconds, and pairs should be close together.
	for round := range 2 * opt.rounds {
		order := []*side{&s.ours, &s.etcd}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, one := range append(order, &s.echo) {
			x := one.load(ctx, op.of(one), clients, opt.round/2, func() int { return rand.IntN(keys) })
			if x.Errors > 0 {
				return nil, fmt.Errorf("%s, %s, %d clients: %d errors, the last: %w", op.name, one.name, clients, x.Errors, x.LastError)
			}
			switch one.name {
			case s.ours.name:
				add(&ours, x)
			case s.etcd.name:
				add(&theirs, x)
			default:
				add(&floor, x)
			}
		}
	}
	rows := make([]measure.Row, 0, 3)
	for i, unit := range []string{"op/s", "us p50", "us p99"} {
		rows = append(rows, measure.NewRow(op.row(nodes, clients), unit, measure.Median(ours[i]), measure.Median(theirs[i]), "etcd", measure.Median(floor[i]), echoFloor))
	}
	return rows, nil
}

func benchKV(ctx context.Context, opt options, ops []operation) ([]measure.Row, error) {
	if opt.quick {
		opt.round, opt.rounds = time.Second, 2
	}
	var rows []measure.Row
	sizes, loads := kvSizes(opt)
	for _, nodes := range sizes {
		s, err := newStage(ctx, opt, nodes)
		if err != nil {
			return nil, err
		}
		err = func() error {
			defer s.group.Close()
			for _, one := range []*side{&s.ours, &s.etcd} {
				if err := one.fill(ctx); err != nil {
					return err
				}
			}
			sync, err := measure.Fsync(s.group.Dir, 500)
			if err != nil {
				return err
			}
			rows = append(rows, measure.Row{Name: fmt.Sprintf("fsync floor n=%d", nodes), Unit: "us p50", Floor: float64(sync) / 1e3, FloorName: "append 4 KiB + fsync"})
			for _, op := range ops {
				for _, clients := range loads {
					more, err := s.compare(ctx, opt, op, nodes, clients)
					if err != nil {
						return err
					}
					rows = append(rows, more...)
				}
			}
			return nil
		}()
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func benchWrite(ctx context.Context, opt options) ([]measure.Row, error) {
	return benchKV(ctx, opt, writes)
}

func benchRead(ctx context.Context, opt options) ([]measure.Row, error) {
	return benchKV(ctx, opt, reads)
}
