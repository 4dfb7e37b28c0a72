package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/bench/measure"
	"supercluster/internal/procs"
)

const (
	keys      = 10_000
	valueSize = 128
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
	name  string
	conns []*grpc.ClientConn
	put   func(ctx context.Context, conn *grpc.ClientConn, key string, value []byte) error
	// get reads one key: linearizable, or what the node has.
	get func(ctx context.Context, conn *grpc.ClientConn, key string, linearizable bool) error
}

func ourSide(conns []*grpc.ClientConn) side {
	return side{
		name: "supercluster", conns: conns,
		put: func(ctx context.Context, conn *grpc.ClientConn, key string, value []byte) error {
			_, err := pb.NewConfigServiceClient(conn).PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: key, Value: value, Format: pb.Format_FORMAT_TEXT}})
			return err
		},
		get: func(ctx context.Context, conn *grpc.ClientConn, key string, linearizable bool) error {
			level := pb.Consistency_CONSISTENCY_LOCAL
			if linearizable {
				level = pb.Consistency_CONSISTENCY_LINEARIZABLE
			}
			_, err := pb.NewConfigServiceClient(conn).GetConfig(ctx, &pb.GetConfigRequest{Name: key, Read: &pb.ReadOptions{Consistency: level}})
			return err
		},
	}
}

func etcdSide(conns []*grpc.ClientConn) side {
	return side{
		name: "etcd", conns: conns,
		put: func(ctx context.Context, conn *grpc.ClientConn, key string, value []byte) error {
			_, err := etcdserverpb.NewKVClient(conn).Put(ctx, &etcdserverpb.PutRequest{Key: []byte(key), Value: value})
			return err
		},
		get: func(ctx context.Context, conn *grpc.ClientConn, key string, linearizable bool) error {
			_, err := etcdserverpb.NewKVClient(conn).Range(ctx, &etcdserverpb.RangeRequest{Key: []byte(key), Serializable: !linearizable})
			return err
		},
	}
}

// stage is the servers of one size, ours and the peer's, running side by side.
type stage struct {
	group      *procs.Group
	ours, etcd side
	echo       side
}

func newStage(ctx context.Context, opt options, nodes, conns int) (*stage, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return nil, err
	}
	s := &stage{group: group}
	if err := s.start(ctx, opt, nodes, conns); err != nil {
		group.Close()
		return nil, err
	}
	return s, nil
}

func (s *stage) start(ctx context.Context, opt options, nodes, conns int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	region, err := s.group.StartRegion(ctx, opt.binary, nodes)
	if err != nil {
		return err
	}
	ours, err := procs.Dial(region.Leader, conns)
	if err != nil {
		return err
	}
	s.ours = ourSide(ours)

	members, clients, err := startEtcd(s.group, filepath.Join(opt.peers, "etcd"), nodes)
	if err != nil {
		return err
	}
	leader := ""
	err = procs.WaitUntil(ctx, "etcd", func(ctx context.Context) bool { leader = etcdLeader(ctx, clients); return leader != "" }, members...)
	if err != nil {
		return err
	}
	theirs, err := procs.Dial(leader, conns)
	if err != nil {
		return err
	}
	s.etcd = etcdSide(theirs)

	port, err := procs.FreePorts(1)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port[0])
	if _, err := s.group.Start("echo", filepath.Join(opt.peers, "echo"), "-listen", address); err != nil {
		return err
	}
	floor, err := procs.Dial(address, conns)
	s.echo = ourSide(floor)
	s.echo.name = "gRPC echo"
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
func (s side) fill(ctx context.Context) error {
	value := make([]byte, valueSize)
	fillers := 64
	sample := make(chan error, fillers)
	for f := range fillers {
		go func() {
			for i := f; i < keys; i += fillers {
				if err := s.put(ctx, s.conns[i%len(s.conns)], names[i], value); err != nil {
					sample <- fmt.Errorf("%s: fill: %w", s.name, err)
					return
				}
			}
			sample <- nil
		}()
	}
	for range fillers {
		if err := <-sample; err != nil {
			return err
		}
	}
	return nil
}

// operation is one kind of load.
type operation struct {
	name string
	call func(side) measure.Call
}

func puts(s side) measure.Call {
	value := make([]byte, valueSize)
	return func(ctx context.Context, client, _ int) error {
		return s.put(ctx, s.conns[client%len(s.conns)], names[rand.IntN(keys)], value)
	}
}

func gets(linearizable bool) func(side) measure.Call {
	return func(s side) measure.Call {
		return func(ctx context.Context, client, _ int) error {
			return s.get(ctx, s.conns[client%len(s.conns)], names[rand.IntN(keys)], linearizable)
		}
	}
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
	for round := range opt.rounds {
		order := []side{s.ours, s.etcd}
		if round%2 == 1 {
			order = []side{s.etcd, s.ours}
		}
		for _, one := range append(order, s.echo) {
			x := measure.Load(ctx, clients, opt.round, op.call(one))
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
		name := fmt.Sprintf("%s n=%d c=%d", op.name, nodes, clients)
		rows = append(rows, measure.NewRow(name, unit, measure.Median(ours[i]), measure.Median(theirs[i]), "etcd", measure.Median(floor[i]), "gRPC echo"))
	}
	return rows, nil
}

func benchKV(ctx context.Context, opt options, ops []operation) ([]measure.Row, error) {
	var rows []measure.Row
	for _, nodes := range []int{1, 3} {
		s, err := newStage(ctx, opt, nodes, 16)
		if err != nil {
			return nil, err
		}
		err = func() error {
			defer s.group.Close()
			for _, one := range []side{s.ours, s.etcd} {
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
				for _, clients := range []int{1, 16, 256} {
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
	return benchKV(ctx, opt, []operation{{"put", puts}})
}

func benchRead(ctx context.Context, opt options) ([]measure.Row, error) {
	return benchKV(ctx, opt, []operation{{"linearizable read", gets(true)}, {"local read", gets(false)}})
}
