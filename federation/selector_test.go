package federation

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// counts of what a region took over.
func (s *site) taken() (records, chunked int) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.taken, s.store.chunked
}

// TestSelector_AtTheSource: what a channel carries changes while writes go on.
func TestSelector_AtTheSource(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		for i := range 1500 {
			a.put(instance(fmt.Sprintf("%c/%d", 'a'+i%3, i)), "before")
		}
		w.converge(15 * time.Second)
		wants := func(what string, prefixes ...string) {
			t.Helper()
			_, chunked := b.taken()
			records, _ := b.taken()
			var terms []*pb.Term
			for _, p := range prefixes {
				terms = append(terms, &pb.Term{Kind: "instance", Name: p})
			}
			if _, err := a.fed().SetChannel(context.Background(), &pb.Channel{Id: uint32(record.ClassEndpoints), Name: "all", Class: "endpoints", Selector: terms}, record.Writer{}); err != nil {
				t.Fatal(err)
			}
			writes := 0
			for i := range 60 {
				a.put(instance(fmt.Sprintf("%c/%d", 'a'+i%3, i)), what)
				if i%10 == 0 {
					a.delete(instance(fmt.Sprintf("%c/%d", 'a'+i%3, i+30)))
					writes++
				}
				writes++
				time.Sleep(3 * time.Millisecond)
			}
			w.until(10*time.Second, "the channel arrived", func() bool { return b.behind(a) == "" })
			want := a.shown(a)
			maps.DeleteFunc(want, func(k, _ string) bool {
				for _, p := range prefixes {
					if len(k) > 3 && k[3:3+len(p)] == p {
						return false
					}
				}
				return len(prefixes) > 0
			})
			if got := b.shown(a); !maps.Equal(got, want) {
				t.Errorf("%s: %d records are shown, not %d", what, len(got), len(want))
			}
			now, chunks := b.taken()
			if chunks != chunked {
				t.Errorf("%s: %d records came in a snapshot", what, chunks-chunked)
			}
			if n := now - records; n > writes+20 { // a step of the backfill is one record
				t.Errorf("%s: %d feed records came for %d writes", what, n, writes)
			}
		}
		wants("only a", "a/")
		wants("only b and c", "b/", "c/")
		wants("everything")
	})
}

// TestSelector_AtTheReceiver: what is shown of a region changes while writes go on.
func TestSelector_AtTheReceiver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		for i := range 1500 {
			a.put(instance(fmt.Sprintf("%c/%d", 'a'+i%3, i)), "before")
		}
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		records, chunked := b.taken()
		writes := 0
		shows := func(what string, ok func(k string) bool, terms ...*pb.Term) {
			t.Helper()
			if err := b.fed().Import(context.Background(), "alpha", terms, record.Writer{}); err != nil {
				t.Fatal(err)
			}
			for i := range 60 {
				a.put(instance(fmt.Sprintf("%c/%d", 'a'+i%3, i)), what)
				writes++
				time.Sleep(3 * time.Millisecond)
			}
			want := a.shown(a)
			maps.DeleteFunc(want, func(k, _ string) bool { return !ok(k) })
			w.until(10*time.Second, what, func() bool { return b.behind(a) == "" && maps.Equal(b.shown(a), want) })
		}
		shows("only a", func(k string) bool { return k[:5] == "17/a/" }, &pb.Term{Kind: "instance", Name: "a/"})
		shows("only config", func(k string) bool { return k == "21/app" }, &pb.Term{Kind: "config"})
		shows("everything", func(string) bool { return true })
		now, chunks := b.taken()
		if now-records > writes || chunks != chunked {
			t.Errorf("%d feed records and %d of snapshots came for %d writes", now-records, chunks-chunked, writes)
		}
		w.verify()
	})
}

func (s *site) noSpace(raised bool) {
	s.w.t.Helper()
	s.do(record.Op{Type: record.OpAlarm, Alarm: &record.Alarm{Kind: record.AlarmNoSpace, Replica: 1, Raised: raised}})
}

// TestNoSpace: a receiver without disk space takes deletes, lets puts wait, and loses nothing.
func TestNoSpace(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		for i := range 10 {
			a.put(instance(fmt.Sprint("web/", i)), "before")
		}
		w.converge(15 * time.Second)
		b.noSpace(true)
		a.delete(instance("web/0"))
		w.converge(10 * time.Second) // a delete makes room
		for i := range 200 {
			a.put(instance(fmt.Sprint("web/", i)), "during")
			time.Sleep(200 * time.Millisecond)
		}
		if got := b.shown(a); len(got) != 9 {
			t.Errorf("%d records are shown", len(got))
		}
		if age := b.age(a); age < 20*time.Second {
			t.Errorf("what waits is %v old", age)
		}
		b.noSpace(false)
		took := w.converge(20 * time.Second)
		w.linked()
		w.verify()
		t.Logf("equal %v after there was space again", took)
	})
}

func TestRemovedPeer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		a.put(config("app"), "one")
		for i := range 2500 { // more than a step of a walk
			b.put(instance(fmt.Sprint("web/", i)), "of beta")
		}
		w.converge(15 * time.Second)
		if err := a.fed().RemovePeer(context.Background(), "beta", record.Writer{}); err != nil {
			t.Fatal(err)
		}
		w.until(10*time.Second, "its records are gone, and its connections ended", func() bool {
			for _, conn := range a.fed().endpoint.Conns() {
				if conn.Peer().Region == b.id {
					return false
				}
			}
			return len(a.shown(b)) == 0
		})
		b.put(instance("web/1"), "later")
		w.converge(5*time.Second, b, c)
		w.converge(5*time.Second, a, c)
		time.Sleep(20 * time.Second)
		if n := len(a.shown(b)); n > 0 {
			t.Errorf("%d records of a removed peer are shown", n)
		}
		if _, ok := a.fed().Age(b.id); ok {
			t.Error("a removed peer has an age")
		}
		peers, err := a.fed().Peers()
		if err != nil || len(peers) != 1 || len(a.fed().Links().GetLinks()) != 1 {
			t.Errorf("peers %v, %v", peers, err)
		}
		if !b.has(a, config("app"), "one") { // beta was not told to forget alpha
			t.Error("the removed peer lost what it had")
		}
		for _, l := range b.fed().Links().GetLinks() {
			if l.GetRegion() == "alpha" && (l.GetState() != "refused" || l.GetLastError() == "") {
				t.Errorf("the removed peer's link: %v", l)
			}
		}
		if _, err := a.store.apply(record.Op{Type: record.OpImport, Import: &record.Import{RegionID: b.id, Channel: 4}}); fault.KindOf(err) != fault.Denied {
			t.Errorf("an import of a removed peer: %v", err)
		}
		// It comes back.
		a.knows(b)
		w.converge(60 * time.Second)
		w.linked()
		w.verify()
		if _, q, err := state.FeedStateOf(a.store.pin(), a.alias(b), 4); !q || err != nil {
			t.Error(q, err)
		}
	})
}
