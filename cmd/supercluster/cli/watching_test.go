package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

// A mark says how far the watch has come with other regions: in words, and whole in JSON. Without --progress there is none.
func TestPrintEvents_Marks(t *testing.T) {
	mark := &pb.WatchResponse{Progress: true, Revision: 8, Sources: []*pb.SourcePosition{
		{Region: "dc1", Revision: 12, Incarnation: 1, Age: durationpb.New(704 * time.Millisecond), Channels: []*pb.ChannelPosition{{Class: "config", Name: "all", Sequence: 3}}},
		{Region: "dc3"},
	}}
	text := func(output string, progress bool) string {
		t.Helper()
		var out bytes.Buffer
		a := &App{Out: &out}
		a.flags.output = output
		if err := a.printEvents(mark, func(*pb.Event) bool { return true }, progress); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got, want := text(outputTable, true), "8  progress  dc1@12 704ms  dc3@? -\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := text(outputJSON, true); !strings.Contains(got, `"sources":[{"region":"dc1","revision":"12","age":"0.704s","incarnation":"1","channels":[{"class":"config"`) {
		t.Errorf("in JSON: %s", got)
	}
	if got := text(outputTable, false); got != "" {
		t.Errorf("without --progress: %q", got)
	}
}
