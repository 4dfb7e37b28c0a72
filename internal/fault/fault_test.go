package fault

import (
	"context"
	"fmt"
	"testing"
)

func TestKinds_NamesAreUniqueAndRoundTrip(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		name := k.String()
		if name == "" || seen[name] {
			t.Errorf("kind %d: name %q is empty or used twice", k, name)
		}
		seen[name] = true
		if got, ok := KindNamed(name); !ok || got != k {
			t.Errorf("KindNamed(%q) = %v, %v; want %v", name, got, ok, k)
		}
	}
	if _, ok := KindNamed("no-such-kind"); ok {
		t.Error("KindNamed found a kind that does not exist")
	}
}

func TestKindOf(t *testing.T) {
	tests := []struct {
		err  error
		want Kind
	}{
		{New(NotFound, "no service %q", "web"), NotFound},
		{fmt.Errorf("lookup: %w", New(Busy, "queue is full")), Busy},
		{fmt.Errorf("read: %w", context.Canceled), Canceled},
		{context.DeadlineExceeded, Deadline},
		{fmt.Errorf("plain"), Internal},
	}
	for _, tt := range tests {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("KindOf(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
	if Is(nil, Internal) {
		t.Error("a nil error is of no kind")
	}
}

func TestText_HidesTheCause(t *testing.T) {
	err := Wrap(Unavailable, fmt.Errorf("dial 10.0.0.1: refused"), "no leader").WithHint("retry")
	if got, want := err.Text(), "no leader (retry)"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
	if got, want := err.Error(), "no leader (retry): dial 10.0.0.1: refused"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
