package check

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestTraces runs the scripts in testdata and compares the whole trace; -rewrite accepts the new one.
//
//	check rise=2 fall=3 [status=critical] [penalty=1000 suppress=2000 reuse=750 half-life=10s]
//	<offset> pass|warn|fail|expire [output]
func TestTraces(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "check" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			p, s := start(t, d)
			var trace strings.Builder
			for line := range strings.Lines(d.Input) {
				s = step(t, d, &trace, s, p, strings.Fields(line))
			}
			return trace.String()
		})
	})
}

func start(t *testing.T, d *datadriven.TestData) (Policy, State) {
	var p Policy
	var s State
	for _, arg := range d.CmdArgs {
		number := func() uint32 {
			n, err := strconv.Atoi(arg.Vals[0])
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return uint32(n)
		}
		switch arg.Key {
		case "rise":
			p.Rise = number()
		case "fall":
			p.Fall = number()
		case "penalty":
			p.Damping.Penalty = number()
		case "suppress":
			p.Damping.Suppress = number()
		case "reuse":
			p.Damping.Reuse = number()
		case "half-life":
			p.Damping.HalfLife = duration(t, arg.Vals[0])
		case "status":
			s = Resume(&pb.CheckStatus{Health: pb.Health(pb.Health_value["HEALTH_"+strings.ToUpper(arg.Vals[0])])})
		default:
			d.Fatalf(t, "unknown argument %q", arg.Key)
		}
	}
	return p, s
}

func step(t *testing.T, d *datadriven.TestData, trace *strings.Builder, s State, p Policy, words []string) State {
	at := epoch.Add(duration(t, words[0]))
	output := strings.Join(words[2:], " ")
	var changed bool
	switch words[1] {
	case "pass":
		s, changed = s.Observe(at, true, output, p)
	case "fail":
		s, changed = s.Observe(at, false, output, p)
	case "warn":
		s, changed = s.ObserveHealth(at, pb.Health_HEALTH_WARNING, output, p)
	case "expire":
		s, changed = s.Expire(at, 15*time.Second)
	default:
		d.Fatalf(t, "unknown result %q", words[1])
	}
	name := strings.ToLower(strings.TrimPrefix(s.Health.String(), "HEALTH_"))
	fmt.Fprintf(trace, "%-6s %-6s -> %s", words[0], words[1], name)
	if changed {
		fmt.Fprintf(trace, " (changed, since %v, %q)", s.Since.Sub(epoch), s.Output)
	}
	trace.WriteByte('\n')
	return s
}

func duration(t *testing.T, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestObserve_AgainstCounting compares the machine with a naive one that looks back over all results.
func TestObserve_AgainstCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{Rise: rapid.Uint32Range(0, 4).Draw(t, "rise"), Fall: rapid.Uint32Range(0, 4).Draw(t, "fall")}
		results := rapid.SliceOfN(rapid.SampledFrom([]pb.Health{
			pb.Health_HEALTH_PASSING, pb.Health_HEALTH_WARNING, pb.Health_HEALTH_CRITICAL,
		}), 1, 40).Draw(t, "results")
		var s State
		want := pb.Health_HEALTH_UNSPECIFIED
		since := 0 // index of the first result after the last change
		for i, r := range results {
			before := s.Health
			var changed bool
			s, changed = s.ObserveHealth(epoch.Add(time.Duration(i)*time.Second), r, "", p)
			if next := naive(want, results[since:i+1], p); next != want {
				want, since = next, i+1
			}
			if s.Health != want {
				t.Fatalf("after %v: health %v, want %v", results[:i+1], s.Health, want)
			}
			if changed != (before != s.Health) {
				t.Fatalf("after %v: changed = %v, but health went from %v to %v", results[:i+1], changed, before, s.Health)
			}
		}
	})
}

// naive decides from the results since the last change alone.
func naive(now pb.Health, results []pb.Health, p Policy) pb.Health {
	last := results[len(results)-1]
	if now == pb.Health_HEALTH_UNSPECIFIED || last == now {
		return last
	}
	need := int(max(p.Rise, 1))
	if last == pb.Health_HEALTH_CRITICAL {
		need = int(max(p.Fall, 1))
	}
	if len(results) < need {
		return now
	}
	for _, r := range results[len(results)-need:] {
		if r == now || (r == pb.Health_HEALTH_CRITICAL) != (last == pb.Health_HEALTH_CRITICAL) {
			return now
		}
	}
	return last
}

func TestStatus_RoundTrip(t *testing.T) {
	s, _ := State{}.Observe(epoch, false, "refused", Policy{})
	st := s.Status("http", "n1")
	if st.GetCheckId() != "http" || st.GetNode() != "n1" || st.GetOutput() != "refused" {
		t.Errorf("Status = %v", st)
	}
	if got := Resume(st); got.Health != s.Health || !got.Since.Equal(s.Since) || got.Output != s.Output {
		t.Errorf("Resume(Status) = %+v, want %+v", got, s)
	}
	if got := Resume(nil); got != (State{}) {
		t.Errorf("Resume(nil) = %+v", got)
	}
}

func TestClip(t *testing.T) {
	tests := []struct{ in, want string }{
		{"200 OK\r\nbody\x00", "200 OK  body"},
		{"bad \xff utf-8", "bad ? utf-8"},
		{strings.Repeat("a", 600), strings.Repeat("a", 512)},
		{"a" + strings.Repeat("é", 300), "a" + strings.Repeat("é", 255)},
		{"", ""},
	}
	for _, tt := range tests {
		if got := Clip(tt.in); got != tt.want {
			t.Errorf("Clip(%.20q...) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("hello")
	f.Add(strings.Repeat("\xe2\x82", 700))
	f.Fuzz(func(t *testing.T, in string) {
		if out := Clip(in); len(out) > MaxOutput || !utf8.ValidString(out) || strings.ContainsRune(out, 0) {
			t.Errorf("Clip(%q) = %q", in, out)
		}
	})
}

func TestGuard(t *testing.T) {
	g := Guard{MaxGap: time.Second, Percent: 50, Minimum: 20}
	tests := []struct {
		name               string
		gap                time.Duration
		expiring, sessions int
		want               bool
	}{
		{"nothing expires after a pause", time.Minute, 0, 100, false},
		{"one expires in time", 100 * time.Millisecond, 1, 100, false},
		{"one expires after a pause", 2 * time.Second, 1, 100, true},
		{"half of many", 0, 50, 100, false},
		{"more than half of many", 0, 51, 100, true},
		{"all of few", 0, 19, 19, false},
		{"all of the minimum", 0, 20, 20, true},
	}
	for _, tt := range tests {
		if got := g.Hold(tt.gap, tt.expiring, tt.sessions); got != tt.want {
			t.Errorf("%s: Hold = %v, want %v", tt.name, got, tt.want)
		}
	}
}
