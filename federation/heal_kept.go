package federation

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// healingKey names the record that is the report of the last healing.
func healingKey() record.Key {
	return record.Key{Shard: record.ShardSystem, Kind: record.KindSetting, Scope: record.ScopeRegion, Name: "healing"}
}

// keepReport has the region keep the report of a healing: whoever leads next shows it, and this node after a restart. A region whose disk
// is full takes none. That must not hold up healing, for which deletes that make room wait: then unkept is the report.
func (f *Federation) keepReport(ctx context.Context, report *pb.Healing) (unkept *pb.Healing, err error) {
	value, err := proto.Marshal(report)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the report of a healing cannot be kept")
	}
	_, err = f.propose(ctx, record.Op{Type: record.OpTxn, Txn: &record.Txn{
		Shard: record.ShardSystem, Then: []record.TxnOp{{Type: record.TxnPut, Key: healingKey(), Value: value}},
		Writer: record.Writer{Actor: "federation", Message: "healed from peers", Time: f.cfg.Now().UnixNano()},
	}})
	if fault.Is(err, fault.Exhausted) {
		return report, nil
	}
	return nil, err
}

// keepLate tries again to keep a report that there was no room for.
func (f *Federation) keepLate(ctx context.Context) error {
	unkept := f.unkeptReport()
	if unkept == nil {
		return nil
	}
	var kept *pb.Healing
	err := f.pinned(func(r state.Reader) (err error) {
		kept, err = keptReport(r)
		return err
	})
	if err == nil && newer(unkept, kept) { // else another node healed the region since
		unkept, err = f.keepReport(ctx, unkept)
	} else {
		unkept = nil
	}
	if err == nil {
		f.mu.Lock()
		f.unkept = unkept
		f.mu.Unlock()
	}
	return err
}

func (f *Federation) unkeptReport() *pb.Healing {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unkept
}

// lastHealing gives the report of the last healing that is over; nil: the region never healed.
func (f *Federation) lastHealing(r state.Reader, row *record.Federation) (*pb.Healing, error) {
	report, err := keptReport(r)
	if unkept := f.unkeptReport(); newer(unkept, report) {
		return unkept, err
	}
	if underWay(report, row) {
		return nil, err
	}
	return report, err
}

// underWay reports whether a report that is kept is of a healing that is not over: the new incarnation did not begin.
func underWay(report *pb.Healing, row *record.Federation) bool {
	return report != nil && row.Fence == record.FenceHealing && report.GetAt().AsTime().UnixNano() >= row.FencedAt
}

func newer(report, than *pb.Healing) bool {
	return report != nil && (than == nil || report.GetAt().AsTime().After(than.GetAt().AsTime()))
}

func keptReport(r state.Reader) (*pb.Healing, error) {
	rec, found, err := state.Get(r, healingKey(), 0)
	if err != nil || !found {
		return nil, err
	}
	report := &pb.Healing{}
	if proto.Unmarshal(rec.Value, report) != nil {
		return nil, nil // no reason to stop anything: a report is for people
	}
	return report, nil
}

// maxReportBytes bounds each list of a report.
const maxReportBytes = 64 << 10

// fitReport cuts what a report names to what a record may hold, and says of losses how many there are besides. How many records were
// kept it says anyway.
func fitReport(report *pb.Healing) {
	report.KeptNames, _ = fit(report.KeptNames)
	for _, list := range []*[]string{&report.Unreachable, &report.Lost} {
		var rest int
		if *list, rest = fit(*list); rest > 0 {
			*list = append(*list, fmt.Sprintf("and %d more", rest))
		}
	}
}

// fit gives the lines that there is room for, and how many there are besides. Names in them may be any bytes, which text may not.
func fit(lines []string) (fitting []string, rest int) {
	left := maxReportBytes
	for i, line := range lines {
		line = strings.ToValidUTF8(line, "\uFFFD")
		if left -= len(line); left < 0 {
			return fitting, len(lines) - i
		}
		fitting = append(fitting, line)
	}
	return fitting, 0
}
