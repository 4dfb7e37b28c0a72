package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
	"supercluster/chaos/wan"
)

// dropped is how many packets between two regions were lost so far.
func (w *world) dropped(a, b string) int64 {
	there, back := w.wan.Stats(a, b), w.wan.Stats(b, a)
	return there.CutOff + back.CutOff + there.Lost + back.Lost
}

// worse changes the way between two regions for a while; packets must have been lost meanwhile.
func (w *world) worse(ctx context.Context, n *schedule.Nemesis, change func(a, b string)) (string, error) {
	a, b := n.Targets[0], n.Targets[1]
	before := w.dropped(a, b)
	change(a, b)
	drive.Last(ctx, n, func() bool { return w.dropped(a, b) > before })
	lost := w.dropped(a, b) - before
	w.wan.Both(a, b, wan.Line{Delay: oneWay})
	if lost == 0 {
		return "", errors.New("no packet was lost")
	}
	return fmt.Sprintf("%d packets were lost", lost), nil
}

func (w *world) cutLink(ctx context.Context, n *schedule.Nemesis) (string, error) {
	return w.worse(ctx, n, func(a, b string) { w.wan.Both(a, b, wan.Line{Cut: true}) })
}

func (w *world) cutOneWay(ctx context.Context, n *schedule.Nemesis) (string, error) {
	return w.worse(ctx, n, func(a, b string) { w.wan.Shape(a, b, wan.Line{Cut: true}) })
}

func (w *world) weather(ctx context.Context, n *schedule.Nemesis) (string, error) {
	return w.worse(ctx, n, func(a, b string) {
		w.wan.Both(a, b, wan.Line{Delay: 120 * time.Millisecond, Loss: 0.08, Reorder: 0.2})
	})
}

// relayKilled cuts two regions from each other, so that the third brings their records, and kills a server of that one.
func (w *world) relayKilled(ctx context.Context, n *schedule.Nemesis) (string, error) {
	a, b := n.Targets[0], n.Targets[1]
	var third *site
	for _, s := range w.sites {
		if s.Name != a && s.Name != b {
			third = s
		}
	}
	before := w.dropped(a, b)
	w.wan.Both(a, b, wan.Line{Cut: true})
	defer w.wan.Both(a, b, wan.Line{Delay: oneWay})
	const takeOver = 4 * time.Second // of a relay, after a cut that nothing announces
	drive.Pause(ctx, takeOver)
	evidence, err := third.down(ctx, []int{int(n.Start) % len(third.Servers)}, n.Duration.Duration(), nil)
	lost := w.dropped(a, b) - before
	if lost == 0 {
		err = errors.Join(err, errors.New("no packet was lost"))
	}
	return fmt.Sprintf("%d packets were lost; %s", lost, evidence), err
}

// insideCut parts one server from the rest of its region: both ways, or one.
func (w *world) insideCut(ctx context.Context, n *schedule.Nemesis) (string, error) {
	s, node := w.node(n.Targets[0])
	var ways [][2]int
	for other := range s.Servers {
		if other == node {
			continue
		}
		if n.Kind != deafen {
			ways = append(ways, [2]int{node, other})
		}
		if n.Kind != mute {
			ways = append(ways, [2]int{other, node})
		}
	}
	held := func() (total int) {
		for _, way := range ways {
			total += w.lan.Held(way[0], way[1])
		}
		return total
	}
	before := held()
	for _, way := range ways {
		w.lan.Hold(way[0], way[1])
	}
	drive.Last(ctx, n, func() bool { return held() > before })
	for _, way := range ways {
		w.lan.Release(way[0], way[1])
	}
	if held() == before {
		return "", errors.New("nothing was held back")
	}
	return fmt.Sprintf("%d pieces and connections were held back", held()-before), s.back(ctx)
}
