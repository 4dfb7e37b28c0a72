package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
)

const (
	oneWay     = 50 * time.Millisecond // so the round trip is 100 ms
	probeEvery = 20 * time.Millisecond // a local put in each region
	beforeFor  = 8 * time.Second       // how long local puts are measured before
	inOneTxn   = 128                   // keys
	bulk       = 8                     // writers of the keys
	lookEvery  = 50 * time.Millisecond // whether a region has caught up
	equalIn    = 10 * time.Second      // after healing
	slower     = 3                     // times, the p99 of local puts meanwhile
)

// cutting is the second part: regions of one server.
func (r *runner) cutting(ctx context.Context) error {
	w, err := network(sites()...)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, pair := range [][2]string{{"dc1", "dc2"}, {"dc1", "dc3"}, {"dc2", "dc3"}} {
		w.Both(pair[0], pair[1], wan.Line{Delay: oneWay})
	}
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	f, err := fleet.Start(starting, w, r.binary, sites(), 1)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Join(starting); err != nil {
		return err
	}
	stop := probe(ctx, f)
	sleep(ctx, beforeFor)
	before, err := stop()
	if err != nil {
		return err
	}
	if err := r.cutOff(ctx, w, f); err != nil {
		return err
	}
	stop = probe(ctx, f)
	healed := time.Now()
	for _, other := range sites()[1:] {
		w.Change("dc1", other, func(l *wan.Line) { l.Cut = false })
	}
	problems := make([]error, len(f.Regions))
	took := make([]time.Duration, len(f.Regions))
	var all sync.WaitGroup
	for i, region := range f.Regions {
		all.Go(func() {
			problems[i] = equalWith(ctx, region, f.Regions[0], r.keys, time.Minute)
			took[i] = time.Since(healed)
		})
	}
	all.Wait()
	during, err := stop()
	if err != nil {
		return err
	}
	for i, region := range f.Regions {
		if problems[i] != nil {
			fmt.Print(region.Standing(ctx), region.Servers[0].Tail(), "\n")
		}
		r.Check(problems[i] == nil && took[i] <= equalIn, "%s is equal by digest %v after healing (at most %v)%s", region.Name, took[i].Round(time.Millisecond), equalIn, because(problems[i]))
		b, d := before[i], during[i]
		r.Check(d.p99 <= slower*b.p99, "%s: local puts meanwhile p99 %v (%d), before %v (%d): %.1f times (at most %d)",
			region.Name, d.p99.Round(10*time.Microsecond), d.n, b.p99.Round(10*time.Microsecond), b.n, float64(d.p99)/float64(b.p99), slower)
	}
	return nil
}

// cutOff cuts the first region off, sees that it is, and changes keys there.
func (r *runner) cutOff(ctx context.Context, w *wan.WAN, f *fleet.Fleet) error {
	begin := time.Now()
	for _, other := range sites()[1:] {
		w.Change("dc1", other, func(l *wan.Line) { l.Cut = true })
	}
	if err := write(ctx, f.Regions[0], r.keys); err != nil {
		return err
	}
	fmt.Printf("     %d keys of dc1 changed in %v while it is cut off\n", r.keys, time.Since(begin).Round(time.Millisecond))
	sleep(ctx, r.cut-time.Since(begin))
	dropped := w.Stats("dc1", "dc2").CutOff + w.Stats("dc2", "dc1").CutOff
	_, err := pb.NewConfigServiceClient(f.Regions[1].Conns[0]).GetConfig(ctx, &pb.GetConfigRequest{Name: keyName(0)})
	r.Check(dropped > 0 && status.Code(err) == codes.NotFound, "the cut took effect: %d packets dropped, nothing came in %v", dropped, time.Since(begin).Round(time.Millisecond))
	return nil
}

func keyName(i int) string { return fmt.Sprintf("dc1/keys/%06d", i) }

// write changes keys with few large transactions.
func write(ctx context.Context, r *fleet.Region, keys int) error {
	var wg sync.WaitGroup
	failed := make([]error, bulk)
	for b := range bulk {
		wg.Go(func() {
			for from := b * inOneTxn; from < keys && failed[b] == nil; from += bulk * inOneTxn {
				req := &pb.TxnRequest{}
				for i := from; i < min(from+inOneTxn, keys); i++ {
					value := fmt.Sprintf("%0100d", i)
					req.Then = append(req.Then, &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: keyName(i), Value: []byte(value), Format: pb.Format_FORMAT_TEXT}}})
				}
				_, failed[b] = pb.NewConfigServiceClient(r.Conns[0]).Txn(ctx, req)
			}
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return fmt.Errorf("change keys: %w", err)
		}
	}
	return nil
}

// equalWith waits until a region has all that its source had when it was asked first, counts the keys, and asks whether it is equal.
// It counts once: that reads every key, and so takes from what is measured.
func equalWith(ctx context.Context, r, source *fleet.Region, keys int, within time.Duration) error {
	deadline := time.Now().Add(within)
	want, err := positions(ctx, source, source)
	if err != nil {
		return err
	}
	for missing := errNothingYet; missing != nil; sleep(ctx, lookEvery) {
		if missing = caughtUp(ctx, r, source, want); missing != nil && (time.Now().After(deadline) || ctx.Err() != nil) {
			return fmt.Errorf("after %v %w", within, missing)
		}
	}
	answer, err := pb.NewConfigServiceClient(r.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{
		Prefix: "dc1/keys/", CountOnly: true, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL},
	})
	if err != nil || answer.GetCount() != uint64(keys) {
		return fmt.Errorf("%d of %d keys, %v", answer.GetCount(), keys, err)
	}
	return r.Equal(ctx, time.Until(deadline))
}

var errNothingYet = errors.New("nothing was looked at")

// caughtUp says what a region lacks of the channels of another one; nil: nothing.
func caughtUp(ctx context.Context, r, source *fleet.Region, want map[string]uint64) error {
	have, err := positions(ctx, r, source)
	if err != nil {
		return err
	}
	for class, sequence := range want {
		if have[class] < sequence {
			return fmt.Errorf("channel %s is at %d of %d", class, have[class], sequence)
		}
	}
	return nil
}

// positions gives where the channels of a source are in a region, by class.
func positions(ctx context.Context, r, source *fleet.Region) (map[string]uint64, error) {
	answer, err := r.API().ListChannels(ctx, &pb.ListChannelsRequest{})
	if err != nil {
		return nil, err
	}
	at := map[string]uint64{}
	for _, c := range answer.GetChannels() {
		if c.GetOwn() && r == source || !c.GetOwn() && c.GetRegion() == source.Name {
			at[c.GetChannel().GetClass()] = c.GetSequence()
		}
	}
	if len(at) == 0 {
		return nil, fmt.Errorf("%s shows no channel of %s", r.Name, source.Name)
	}
	return at, nil
}

// puts is what local puts took.
type puts struct {
	n   int
	p99 time.Duration
}

// probe puts in every region, from intended starts, until the function that it gives is called.
func probe(ctx context.Context, f *fleet.Fleet) (stop func() ([]puts, error)) {
	ctx, cancel := context.WithCancel(ctx)
	took := make([][]time.Duration, len(f.Regions))
	failed := make([]error, len(f.Regions))
	var all sync.WaitGroup
	for i, r := range f.Regions {
		all.Go(func() {
			begin := time.Now()
			var under sync.WaitGroup // puts do not wait for each other
			defer under.Wait()
			var mu sync.Mutex
			for n := 0; ; n++ {
				due := begin.Add(time.Duration(n) * probeEvery)
				if sleep(ctx, time.Until(due)); ctx.Err() != nil {
					return
				}
				under.Go(func() {
					name := fmt.Sprintf("%s/probe/%d", r.Name, n%100)
					_, err := pb.NewConfigServiceClient(r.Conns[0]).PutConfig(context.WithoutCancel(ctx), &pb.PutConfigRequest{Config: &pb.Config{Name: name, Value: []byte("x")}})
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed[i] = fmt.Errorf("a local put in %s: %w", r.Name, err)
					}
					took[i] = append(took[i], time.Since(due))
				})
			}
		})
	}
	return func() ([]puts, error) {
		cancel()
		all.Wait()
		var out []puts
		for i := range took {
			if failed[i] != nil {
				return nil, failed[i]
			}
			slices.Sort(took[i])
			one := puts{n: len(took[i])}
			if one.n > 0 {
				one.p99 = took[i][one.n*99/100]
			}
			out = append(out, one)
		}
		return out, nil
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
