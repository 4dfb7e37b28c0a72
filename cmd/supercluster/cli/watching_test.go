package cli

import (
	"bytes"
	"context"
	"fmt"
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

// A list of records is shown again when one changed, not because all are older by then. A value that is printed as it is may hold
// anything.
func TestRedraw_Ages(t *testing.T) {
	for _, tt := range []struct {
		output string
		want   int
	}{{outputJSON, 2}, {outputYAML, 2}, {outputTable, 4}} {
		var out bytes.Buffer
		a := &App{Out: &out}
		a.flags.output, a.flags.timeout = tt.output, time.Second
		age, revision, drawn := time.Duration(0), uint64(7), 0
		r := a.redrawAtChanges(func(context.Context, *client) (*pb.ReadHeader, error) {
			age += time.Second
			if tt.output == outputTable {
				_, err := fmt.Fprintf(a.Out, "age: %v\n", age)
				return nil, err
			}
			return nil, printList(a, []*pb.Route{{Name: "shop", Source: &pb.Source{Revision: revision, Age: durationpb.New(age)}}}, nil)
		})
		for _, revision = range []uint64{7, 7, 7, 8} {
			before := out.Len()
			if _, err := r.draw(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if out.Len() > before {
				drawn++
			}
		}
		if drawn != tt.want {
			t.Errorf("%s: it was shown %d times, want %d:\n%s", tt.output, drawn, tt.want, out.String())
		}
	}
}
