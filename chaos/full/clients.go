package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/chaos/history"
	"supercluster/internal/fault"
)

const (
	askFor   = time.Second            // how long a client waits for an answer
	knowIn   = 8 * time.Second        // and how long it tries to find out how a write ended
	askAgain = 100 * time.Millisecond // between attempts
)

// Names of keys in histories begin with the kind of record, so that a key is one record.
const (
	configKey  = "config:"
	serviceKey = "service:"
	valueOf    = "value" // of the metadata of an instance
)

// client is one client of a region.
type client struct {
	world  *world
	site   *site
	number int
	random *rand.Rand
	count  int
	life   int
	seen   uint64 // the highest revision that it was answered in this life of its region
}

// clients runs those of all regions until ctx ends.
func (w *world) clients(ctx context.Context) {
	var all sync.WaitGroup
	for i, s := range w.sites {
		for n := range w.plan.Workload.Clients {
			c := &client{world: w, site: s, number: 100*(i+1) + n, random: rand.New(rand.NewPCG(w.plan.Seed, uint64(100*i+n)))}
			all.Go(func() { c.run(ctx) })
		}
	}
	all.Wait()
}

func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.site.gate.RLock()
		if life := c.site.lifeNow(); life != c.life {
			c.life, c.seen = life, 0
		}
		c.one(ctx)
		c.site.gate.RUnlock()
		pause(ctx, time.Duration(4+c.random.IntN(12))*time.Millisecond)
	}
}

// one does what the mix says.
func (c *client) one(ctx context.Context) {
	w := &c.world.plan.Workload
	group := c.group(c.site)
	key := fmt.Sprintf("%sk%d", group, c.random.IntN(w.Keys))
	switch kind := w.Pick(c.random.IntN(w.Sum())); kind {
	case history.CallPut:
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{c.put(key)}})
	case history.CallConfig:
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{c.put(configKey + c.site.Name + "/app/level")}})
	case history.CallDelete:
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{{Do: history.DoDelete, Key: key}}})
	case history.CallService:
		step := c.put(fmt.Sprintf("%s%s-web/i%d", serviceKey, c.site.Name, c.random.IntN(w.Keys)))
		if c.random.IntN(4) == 0 {
			step = history.Step{Do: history.DoDelete, Key: step.Key}
		}
		c.write(ctx, history.Call{Kind: kind, Steps: []history.Step{step}})
	case history.CallCAS:
		if old, ok := c.readOne(ctx, key); ok {
			c.write(ctx, history.Call{Kind: kind, Compare: []history.Entry{{Key: key, Value: old}}, Steps: []history.Step{c.put(key)}})
		}
	case history.CallTxn:
		call := history.Call{Kind: kind}
		for _, k := range c.keys(group) {
			call.Steps = append(call.Steps, c.put(k))
		}
		c.write(ctx, call)
	case history.CallLookup:
		c.lookup(ctx)
	default:
		c.readGroup(ctx, group)
	}
}

func (c *client) group(s *site) string {
	return fmt.Sprintf("%s%s/g%d/", configKey, s.Name, c.random.IntN(c.world.plan.Workload.Groups))
}

func (c *client) keys(group string) (all []string) {
	for k := range c.world.plan.Workload.Keys {
		all = append(all, fmt.Sprintf("%sk%d", group, k))
	}
	return all
}

// put makes a step with a value that nobody else writes.
func (c *client) put(key string) history.Step {
	c.count++
	return history.Step{Do: history.DoPut, Key: key, Value: fmt.Sprintf("%d.%d", c.number, c.count)}
}

// server picks any.
func (c *client) server() (string, *grpc.ClientConn) {
	n := c.random.IntN(len(c.site.Conns))
	return c.site.Nodes[n], c.site.Conns[n]
}

// name is a key without its kind.
func name(key string) string {
	_, n, _ := strings.Cut(key, ":")
	return n
}

// request asks for a write once.
func request(ctx context.Context, conn *grpc.ClientConn, call *history.Call, options *pb.WriteOptions) (refused bool, revision uint64, err error) {
	if s := call.Steps[0]; call.Kind == history.CallService {
		service, id, _ := strings.Cut(name(s.Key), "/")
		if s.Do == history.DoDelete {
			answer, err := pb.NewRegistryServiceClient(conn).DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: service, Id: id, Options: options})
			return false, answer.GetHeader().GetRevision(), err
		}
		answer, err := pb.NewRegistryServiceClient(conn).RegisterInstance(ctx, &pb.RegisterInstanceRequest{Options: options, Instance: &pb.Instance{
			Service: service, Id: id, Address: "10.0.0.1", Port: 80, Metadata: map[string]string{valueOf: s.Value},
		}})
		return false, answer.GetHeader().GetRevision(), err
	}
	answer, err := pb.NewConfigServiceClient(conn).Txn(ctx, transaction(call, options))
	return !answer.GetSucceeded(), answer.GetHeader().GetRevision(), err
}

func transaction(call *history.Call, options *pb.WriteOptions) *pb.TxnRequest {
	out := &pb.TxnRequest{Options: options}
	for _, e := range call.Compare {
		compare := &pb.Compare{Name: name(e.Key), Target: pb.Compare_TARGET_VALUE, Operator: pb.Compare_OPERATOR_EQUAL, Value: []byte(e.Value)}
		if e.Value == "" {
			compare = &pb.Compare{Name: name(e.Key), Target: pb.Compare_TARGET_CREATE_REVISION, Operator: pb.Compare_OPERATOR_EQUAL}
		}
		out.Compare = append(out.Compare, compare)
	}
	for _, s := range call.Steps {
		op := &pb.TxnOp{Op: &pb.TxnOp_Delete_{Delete: &pb.TxnOp_Delete{Name: name(s.Key)}}}
		if s.Do == history.DoPut {
			op = &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: name(s.Key), Value: []byte(s.Value), Format: pb.Format_FORMAT_TEXT}}}
		}
		out.Then = append(out.Then, op)
	}
	return out
}

// write sends a write, and again under its request id, to any server, when nobody knows how it ended.
func (c *client) write(ctx context.Context, call history.Call) {
	c.count++
	options := &pb.WriteOptions{RequestId: fmt.Sprintf("%d-%d", c.number, c.count), SeenRevision: c.seen}
	node, conn := c.server()
	id := c.world.log.Invoke(c.number, c.site.Name, node, call)
	var unknown error
	for deadline := time.Now().Add(knowIn); ; {
		asking, cancel := context.WithTimeout(ctx, askFor)
		refused, revision, err := request(asking, conn, &call, options)
		cancel()
		if err == nil {
			c.seen = max(c.seen, revision)
			c.world.log.OK(id, node, history.Answer{Refused: refused, Revision: revision})
			return
		}
		if err = status.FromGRPCWrite(err); nothingDone(err) && unknown == nil {
			c.world.log.Fail(id, err)
			return
		}
		if unknown = err; time.Now().After(deadline) || !pause(ctx, askAgain) {
			break
		}
		node, conn = c.server()
	}
	c.world.log.Unknown(id, unknown)
}

// nothingDone says that a write surely did not happen: the promise of these kinds of error.
func nothingDone(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Busy, fault.Deadline, fault.NotHome, fault.Invalid, fault.Exhausted, fault.Conflict, fault.NotFound:
		return true
	default:
		return false
	}
}

var linearizable = &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}

// readOne reads one key.
func (c *client) readOne(ctx context.Context, key string) (string, bool) {
	node, conn := c.server()
	id := c.world.log.Invoke(c.number, c.site.Name, node, history.Call{Kind: history.CallGet, Steps: []history.Step{{Do: history.DoGet, Key: key}}})
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := pb.NewConfigServiceClient(conn).GetConfig(asking, &pb.GetConfigRequest{Name: name(key), Read: linearizable})
	if err != nil && !fault.Is(status.FromGRPC(err), fault.NotFound) {
		c.world.log.Fail(id, err)
		return "", false
	}
	value := string(answer.GetConfig().GetValue())
	c.world.log.OK(id, node, history.Answer{Values: []string{value}})
	return value, true
}

// readGroup reads the keys of a group at once.
func (c *client) readGroup(ctx context.Context, group string) {
	node, conn := c.server()
	call := history.Call{Kind: history.CallGet}
	for _, k := range c.keys(group) {
		call.Steps = append(call.Steps, history.Step{Do: history.DoGet, Key: k})
	}
	id := c.world.log.Invoke(c.number, c.site.Name, node, call)
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := pb.NewConfigServiceClient(conn).ListConfigs(asking, &pb.ListConfigsRequest{Prefix: name(group), Read: linearizable})
	if err != nil {
		c.world.log.Fail(id, err)
		return
	}
	have := map[string]string{}
	for _, e := range answer.GetConfigs() {
		have[configKey+e.GetName()] = string(e.GetValue())
	}
	c.world.log.OK(id, node, history.Answer{Values: valuesOf(call.Steps, have)})
}

func valuesOf(steps []history.Step, have map[string]string) (all []string) {
	for _, s := range steps {
		all = append(all, have[s.Key])
	}
	return all
}
