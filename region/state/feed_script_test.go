package state_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"supercluster/region/record"
	"supercluster/region/state"
)

// Scripts of the feed in testdata/feed: what other regions send, made by hand, and what comes of it. Run with -rewrite to
// accept new output. Beside the commands of TestScripts there are:
//
//	import region=N channel=N      a batch; each line is a record: put KEY VALUE or del KEY, with & between changes
//	snapshot region=N channel=N [cut=KEY]...   what the channel carries now, as chunks
//	mint region=N channel=N        the other region begins a new incarnation
//	walk [limit=N]                 steps of all walks that are under way
//	channels | carried region=N channel=N | feedlog region=N channel=N
func TestFeedScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/feed", func(t *testing.T, path string) {
		f := feedScript{world: newWorld(t), sources: map[string]*source{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := f.run(t, d)
			checkFeed(t, f.world)
			return out
		})
	})
}

type feedScript struct {
	*world
	sources map[string]*source
}

func (f *feedScript) run(t *testing.T, d *datadriven.TestData) string {
	region, channel := uint64(2), uint64(0)
	d.MaybeScanArgs(t, "region", &region)
	d.MaybeScanArgs(t, "channel", &channel)
	name := fmt.Sprintf("%d/%d", region, channel)
	if f.sources[name] == nil {
		f.sources[name] = newSource(region, uint32(channel))
	}
	s := f.sources[name]
	switch d.Cmd {
	case "import":
		var records [][]record.FeedChange
		for line := range strings.Lines(d.Input) {
			records = append(records, parseChanges(strings.TrimSpace(line)))
		}
		return f.outcome(t, s.batch(records...))
	case "snapshot":
		var cuts []string
		for _, arg := range d.CmdArgs {
			if arg.Key == "cut" {
				cuts = arg.Vals
			}
		}
		return f.outcome(t, s.snapshot(cuts...)...)
	case "mint":
		s.at.Incarnation++
		return ""
	case "walk":
		limit := uint64(1000)
		d.MaybeScanArgs(t, "limit", &limit)
		return fmt.Sprintf("%d steps\nhash %x\n", f.walkAll(t, uint32(limit)), f.hash(t))
	case "channels":
		return f.channels(t)
	case "carried":
		return f.carried(t, region, uint32(channel))
	case "feedlog":
		return f.feedLog(t, region, uint32(channel))
	default:
		return f.command(t, d)
	}
}

func parseChanges(line string) (changes []record.FeedChange) {
	for part := range strings.SplitSeq(line, "&") {
		words := strings.Fields(part)
		if words[0] == "put" {
			changes = append(changes, put(words[1], words[2]))
		} else {
			changes = append(changes, del(words[1]))
		}
	}
	return changes
}

func (f *feedScript) outcome(t *testing.T, ops ...record.Op) string {
	var b strings.Builder
	for _, op := range ops {
		out := f.ops(t, op)
		b.WriteString(formatResult(out.Results[0]) + "\n" + formatCommits(out.Commits))
	}
	return b.String() + fmt.Sprintf("hash %x\n", f.hash(t))
}

func (f *feedScript) channels(t *testing.T) string {
	var b strings.Builder
	regions, err := state.Regions(f.kv)
	for i, g := range regions {
		alias := uint32(i) + 1
		fmt.Fprintf(&b, "region %d removed=%v\n", g.ID[0], g.Removed)
		if err == nil {
			err = state.EachFeedState(f.kv, alias, func(channel uint32, s *record.FeedState) error {
				_, resync, err := state.ReadResync(f.kv, alias, channel)
				fmt.Fprintf(&b, "  channel %d at %d.%d revision=%d records=%d quarantined=%d floor=%d log=%d step=%d walking=%v resync=%v\n", channel,
					s.Position.Incarnation, s.Position.Sequence, s.Revision, s.Records, s.Quarantined, s.FloorSequence, s.LogBytes, s.Step,
					s.Walking, resync)
				return err
			})
		}
	}
	return b.String() + failed(err, "")
}

func formatFeedKey(b []byte) string {
	k, err := record.DecodeFeedKey(b)
	if err != nil {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("%d.%s/%d/%v/%q", k.Tenant[0], k.Namespace, k.Kind, k.Regional, k.Name)
}

func (f *feedScript) carried(t *testing.T, region uint64, channel uint32) string {
	alias, _ := f.feedState(t, region, channel)
	items, _, err := state.FeedContent(f.kv, alias, channel, nil, 1<<30)
	var b strings.Builder
	for _, it := range items {
		e, err := record.DecodeFeedEntry(it.Entry)
		fmt.Fprintf(&b, "%s=%q epoch=%d mod=%d version=%d", formatFeedKey(it.Key), e.Value, e.OwnerEpoch, e.Revision, e.Version)
		if raw, found, _ := f.kv.Get(record.AppendImportedKey(nil, alias, channel, it.Key)); found {
			row, _ := record.DecodeImported(raw)
			fmt.Fprintf(&b, " shown=%v quarantine=%d", row.Shown, row.Quarantine)
		}
		b.WriteString(failed(err, "") + "\n")
	}
	return b.String() + failed(err, "")
}

func (f *feedScript) feedLog(t *testing.T, region uint64, channel uint32) string {
	alias, s := f.feedState(t, region, channel)
	rows, err := state.FeedLog(f.kv, alias, channel, &s, s.FloorSequence, 1<<30)
	var b strings.Builder
	for _, row := range rows {
		r, err := record.DecodeFeedRecord(row.Record)
		fmt.Fprintf(&b, "%d revision=%d backfill=%v by %q head=%v%s\n", row.Sequence, r.Revision, r.Backfill, r.Writer.Actor, len(row.Head) > 0, failed(err, ""))
		for _, c := range r.Changes {
			fmt.Fprintf(&b, "  %s %s\n", [...]string{"", "put", "delete", "unexport"}[c.Op], formatFeedKey(c.Key))
		}
	}
	return b.String() + failed(err, "")
}
