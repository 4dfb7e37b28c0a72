package federation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// standing gives what a watch of the default namespace can show of others, by region.
func (s *site) standing(kind record.Kind, prefix string) map[*site]Standing {
	s.w.t.Helper()
	all, at, err := s.fed().Standing(Watched{Tenant: 1, Namespace: 1, Kind: kind, Prefix: prefix})
	if err != nil {
		s.w.t.Fatal(err)
	}
	if now := s.revisions(); !now.Covers(at) {
		s.w.t.Errorf("it is of %+v, and the rows of %+v", at, now)
	}
	out := map[*site]Standing{}
	for _, one := range all {
		for _, o := range s.w.regions {
			if o.id == one.Region {
				out[o] = one
			}
		}
	}
	return out
}

func (s *site) revisions() record.Positions {
	at, err := state.PositionsOf(s.store.pin())
	if err != nil {
		s.w.t.Fatal(err)
	}
	return at
}

// brought lists regions and their channels.
func brought(all map[*site]Standing) string {
	var b strings.Builder
	for _, name := range []string{"alpha", "beta", "gamma"} {
		for s, one := range all {
			if s.name != name {
				continue
			}
			fmt.Fprintf(&b, "%s:", name)
			for _, c := range one.Channels {
				fmt.Fprintf(&b, " %s/%s", c.Class, c.Name)
			}
			b.WriteString("; ")
		}
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// A watch hears of the regions that it can show records of, by what channels they come, and how far and how old that is.
func TestStanding(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		for _, s := range w.regions {
			s.place("beta/", b)
		}
		for i := range 5 {
			a.put(config("app"), fmt.Sprint(i))
		}
		b.put(config("beta/x"), "1")
		a.put(instance("web/1"), "up")
		w.converge(15 * time.Second)
		time.Sleep(3 * time.Second)
		for _, tt := range []struct {
			kind         record.Kind
			prefix, want string
		}{
			{record.KindConfig, "", "alpha: config/all; beta: config/all"},
			{record.KindConfig, "app", "alpha: config/all"},
			{record.KindRoute, "beta/r", "beta: config/all"},
			{record.KindService, "web", "alpha: services/all"},
			{record.KindInstance, "web/", "alpha: endpoints/all; beta: endpoints/all"},
			{record.KindNode, "", ""},
			{0, "web", "alpha: config/all services/all endpoints/all; beta: endpoints/all"},
		} {
			if got := brought(c.standing(tt.kind, tt.prefix)); got != tt.want {
				t.Errorf("kind %d, prefix %q: %s, want %s", tt.kind, tt.prefix, got, tt.want)
			}
		}
		for _, other := range []Watched{{Tenant: 1, Namespace: 2}, {Tenant: 2, Namespace: 1}} {
			if got, _, err := c.fed().Standing(other); err != nil || len(got) > 0 {
				t.Errorf("%+v shows %+v (%v)", other, got, err)
			}
		}
		for home, one := range c.standing(0, "") {
			if one.Incarnation != 1 || one.Revision < home.revisions().Data || one.Heard.IsZero() || time.Since(one.Heard) > 1500*time.Millisecond {
				t.Errorf("%s: %+v at revision %d", home.name, one, home.revisions().Data)
			}
		}
		before := c.standing(record.KindConfig, "app")[a]
		st, _, err := state.FeedStateOf(c.store.pin(), c.alias(a), uint32(record.ClassConfig))
		if at := before.Channels[0]; err != nil || at.Sequence == 0 || at.Sequence != st.Position.Sequence || at.Incarnation != 1 {
			t.Errorf("the channel is at %+v, and the rows at %+v (%v)", at, st.Position, err)
		}
		w.isolate(c, true)
		a.put(config("app"), "unseen")
		time.Sleep(time.Minute)
		after := c.standing(record.KindConfig, "app")[a]
		if after.Revision != before.Revision || after.Heard.After(before.Heard.Add(2*time.Second)) {
			t.Errorf("cut off it went on from %+v to %+v", before, after)
		}
	})
}

// Where not all that the region wrote can be there, nothing is said of how far it goes.
func TestStanding_IsNotTooFar(t *testing.T) {
	channel := func(c record.Class, incarnation, revision uint64) channelStanding {
		return channelStanding{class: c, name: "all", position: record.FeedPosition{Incarnation: incarnation}, revision: revision}
	}
	known := map[record.Class]bool{record.ClassConfig: true, record.ClassServices: true, record.ClassEndpoints: true}
	filling := channel(record.ClassEndpoints, 2, 90)
	filling.filling = true
	for name, tt := range map[string]struct {
		of                    regionStanding
		incarnation, revision uint64
	}{
		"the least":                {regionStanding{known: known, channels: []channelStanding{channel(2, 2, 70), channel(3, 2, 60), channel(4, 2, 80)}}, 2, 60},
		"the earlier incarnation":  {regionStanding{known: known, channels: []channelStanding{channel(2, 2, 70), channel(3, 1, 900)}}, 1, 900},
		"a channel without a head": {regionStanding{known: known, channels: []channelStanding{channel(2, 2, 70), channel(3, 2, 0)}}, 0, 0},
		"filling":                  {regionStanding{known: known, channels: []channelStanding{channel(2, 2, 70), filling}}, 0, 0},
		"a class that is missing": {regionStanding{
			known: map[record.Class]bool{record.ClassConfig: true, record.ClassServices: true}, channels: []channelStanding{channel(2, 2, 70), channel(3, 2, 70)},
		}, 0, 0},
		"a class that is kept from it": {regionStanding{known: known, channels: []channelStanding{channel(2, 2, 70), channel(3, 2, 70)}}, 2, 70},
		"a channel of unknown class":   {regionStanding{known: known, unnamed: true, channels: []channelStanding{channel(2, 2, 70)}}, 0, 0},
	} {
		if got := tt.of.of(0, true); got.Incarnation != tt.incarnation || got.Revision != tt.revision || len(got.Channels) != len(tt.of.channels) {
			t.Errorf("%s: %+v, want %d.%d", name, got, tt.incarnation, tt.revision)
		}
	}
	if got := (&regionStanding{known: known, channels: []channelStanding{filling, channel(2, 2, 70)}}).of(record.KindConfig, true); got.Revision != 70 {
		t.Errorf("a watch of config waits for endpoints: %+v", got)
	}
}
