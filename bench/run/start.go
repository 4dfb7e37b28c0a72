package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/bench/measure"
	"supercluster/internal/procs"
)

const (
	startRow = "start of dev to first write and lookup, p50"
	idleRow  = "resident memory, idle"
)

func loadedRow(services int) string {
	return fmt.Sprintf("resident memory, %d instances", services*endpointsPerCluster)
}

// startSizes are how often each process is started, and how many services the memory is measured with.
func startSizes(opt options) (runs, services int) {
	if opt.quick {
		return 3, 10
	}
	return 9, 1000
}

// benchStart measures a process from its start to its first accepted write and first answered lookup, and its
// memory idle and with 10,000 instances.
func benchStart(ctx context.Context, opt options) ([]measure.Row, error) {
	runs, services := startSizes(opt)
	var ours, theirs, bare []float64
	for range runs {
		took, err := ourStart(ctx, opt)
		if err != nil {
			return nil, err
		}
		ours = append(ours, took)
		if took, err = etcdStart(ctx, opt); err != nil {
			return nil, err
		}
		theirs = append(theirs, took)
		if took, err = echoStart(ctx, opt); err != nil {
			return nil, err
		}
		bare = append(bare, took)
	}
	idle, loaded, err := ourMemory(ctx, opt, services)
	if err != nil {
		return nil, err
	}
	return []measure.Row{
		measure.NewRow(startRow, "ms", measure.Median(ours), measure.Median(theirs), "etcd to first put and get", measure.Median(bare), startFloor),
		{Name: idleRow, Unit: "MiB", Ours: idle},
		{Name: loadedRow(services), Unit: "MiB", Ours: loaded},
	}, nil
}

// startDev starts `supercluster dev` on free ports.
func startDev(group *procs.Group, opt options) (*procs.Process, string, error) {
	ports, err := procs.FreePorts(7)
	if err != nil {
		return nil, "", err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	p, err := group.Start("dev", opt.binary, "dev", "--http", at(0), "--grpc", at(1), "--dns", at(2), "--raft", at(3), "--probe", at(4), "--admin", at(5), "--federation", at(6))
	return p, at(1), err
}

func ourStart(ctx context.Context, opt options) (float64, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return 0, err
	}
	defer group.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	begin := time.Now()
	p, address, err := startDev(group, opt)
	if err != nil {
		return 0, err
	}
	err = procs.WaitUntil(ctx, "dev", func(ctx context.Context) bool {
		conns, err := procs.Dial(address, 1)
		if err != nil {
			return false
		}
		defer conns[0].Close()
		registry := pb.NewRegistryServiceClient(conns[0])
		if _, err := registry.RegisterInstance(ctx, instance("web", 0, 9000)); err != nil {
			return false
		}
		answer, err := registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
		return err == nil && len(answer.Endpoints) == 1
	}, p)
	return ms(time.Since(begin)), err
}

func etcdStart(ctx context.Context, opt options) (float64, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return 0, err
	}
	defer group.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	begin := time.Now()
	members, clients, err := startEtcd(group, filepath.Join(opt.peers, "etcd"), 1)
	if err != nil {
		return 0, err
	}
	err = procs.WaitUntil(ctx, "etcd", func(ctx context.Context) bool {
		conns, err := procs.Dial(clients[0], 1)
		if err != nil {
			return false
		}
		defer conns[0].Close()
		kv := etcdserverpb.NewKVClient(conns[0])
		if _, err := kv.Put(ctx, &etcdserverpb.PutRequest{Key: []byte("a"), Value: []byte("b")}); err != nil {
			return false
		}
		answer, err := kv.Range(ctx, &etcdserverpb.RangeRequest{Key: []byte("a")})
		return err == nil && answer.Count == 1
	}, members...)
	return ms(time.Since(begin)), err
}

// ourMemory gives the resident memory in MiB after the start and after the services are registered.
func ourMemory(ctx context.Context, opt options, services int) (idle, loaded float64, err error) {
	group, err := procs.NewGroup()
	if err != nil {
		return 0, 0, err
	}
	defer group.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p, address, err := startDev(group, opt)
	if err != nil {
		return 0, 0, err
	}
	conns, err := procs.Dial(address, 1)
	if err != nil {
		return 0, 0, err
	}
	defer conns[0].Close()
	registry := pb.NewRegistryServiceClient(conns[0])
	err = procs.WaitUntil(ctx, "dev", func(ctx context.Context) bool {
		_, err := registry.ListServices(ctx, &pb.ListServicesRequest{})
		return err == nil
	}, p)
	if err != nil {
		return 0, 0, err
	}
	idle = float64(p.RSS()) / (1 << 20)
	err = registerAll(ctx, registry, services)
	return idle, float64(p.RSS()) / (1 << 20), err
}
