package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
)

// author writes what a region is the home of, and knows what was acknowledged.
type author struct {
	region *fleet.Region
	held   atomic.Bool // it must not write now
	acked  atomic.Int64

	mu        sync.Mutex
	Live      map[string]string // entries that were written once
	Gone      map[string]bool   // entries whose deletion was acknowledged
	Instances map[string]bool
	Unknown   int
}

func (a *author) run(ctx context.Context, client int) {
	for n := 0; ctx.Err() == nil; n++ {
		if !a.held.Load() {
			a.one(client, n)
		}
		sleep(ctx, pace)
	}
}

func (a *author) one(client, n int) {
	id := fmt.Sprintf("%s-%d-%d", a.region.Name, client, n)
	switch n % 5 {
	case 0:
		pair := fmt.Sprintf("%s/pair/%d", a.region.Name, client)
		_, err := txn(a.region, giveUp, id, &pb.TxnRequest{Then: []*pb.TxnOp{put(pair+"a", id), put(pair+"b", id)}})
		a.note(err, func() {})
	case 1:
		a.note(a.instance(id), func() { a.Instances[id] = true })
	case 2:
		a.remove(client, n)
	default:
		name := a.region.Name + "/once/" + id
		_, err := txn(a.region, giveUp, id, &pb.TxnRequest{Then: []*pb.TxnOp{put(name, id)}})
		a.note(err, func() { a.Live[name] = id })
	}
}

func (a *author) note(err error, acknowledged func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.Unknown++
		return
	}
	a.acked.Add(1)
	acknowledged()
}

// remove deletes an entry that this client wrote a while ago.
func (a *author) remove(client, n int) {
	name := fmt.Sprintf("%s/once/%s-%d-%d", a.region.Name, a.region.Name, client, n-19)
	a.mu.Lock()
	_, there := a.Live[name]
	delete(a.Live, name) // also if nobody knows how it ends
	a.mu.Unlock()
	if !there {
		return
	}
	err := attempt(a.region, giveUp, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewConfigServiceClient(conn).DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: name, Options: &pb.WriteOptions{RequestId: "delete-" + name}})
		if status.Code(err) == codes.NotFound {
			return nil
		}
		return err
	})
	a.note(err, func() { a.Gone[name] = true })
}

func (a *author) instance(id string) error {
	return attempt(a.region, giveUp, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewRegistryServiceClient(conn).RegisterInstance(ctx, &pb.RegisterInstanceRequest{
			Instance: &pb.Instance{Service: service(a.region.Name), Id: id, Address: "10.0.0.1", Port: 80}, Options: &pb.WriteOptions{RequestId: id},
		})
		return err
	})
}
