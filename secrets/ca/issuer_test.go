package ca

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

func TestIssuer_Leaf(t *testing.T) {
	id, _ := makeIdentity(t, "dc1", regionA, now)
	i := makeIssuer(t, id, "n1", at(now))
	leaf := i.Certificate().Leaf
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://supercluster.internal/region/0a000000000000000000000000000001/server/n1" {
		t.Errorf("the certificate names %v", leaf.URIs)
	}
	if !leaf.NotBefore.Equal(now.Add(-backdate)) || !leaf.NotAfter.Equal(now.Add(24*time.Hour)) {
		t.Errorf("it holds from %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	if leaf.IsCA || len(leaf.ExtKeyUsage) != 2 || len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 {
		t.Errorf("it is %+v", leaf)
	}
	server, _ := i.GetCertificate(nil)
	client, _ := i.GetClientCertificate(nil)
	if server != i.Certificate() || client != i.Certificate() {
		t.Error("servers and clients get another certificate")
	}
}

func TestNewIssuer_BadNames(t *testing.T) {
	id, _ := makeIdentity(t, "dc1", regionA, now)
	for _, name := range []string{"", "N1", "n1/x", "../n1", strings.Repeat("n", 64)} {
		_, err := NewIssuer(IssuerConfig{Identity: id, Server: name, Now: at(now)})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("name %q: error = %v", name, err)
		}
	}
}

func TestRenewAt_IsAfterTwoThirds(t *testing.T) {
	for _, tt := range []struct{ jitter, hours float64 }{{0, 16}, {0.5, 17}, {1, 18}} {
		if got := renewAt(now, now.Add(24*time.Hour), tt.jitter).Sub(now); got != time.Duration(tt.hours*float64(time.Hour)) {
			t.Errorf("jitter %v: after %v, want %vh", tt.jitter, got, tt.hours)
		}
	}
}

// TestIssuer_Renews watches a week: the certificate always holds, and is changed no earlier than it must.
func TestIssuer_Renews(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, _ := makeIdentity(t, "dc1", regionA, time.Now())
		i := makeIssuer(t, id, "n1", nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- i.Run(ctx) }()
		var serials []string
		last, since := "", time.Now()
		for begin := time.Now(); time.Since(begin) < 7*24*time.Hour; time.Sleep(10 * time.Minute) {
			synctest.Wait()
			leaf := i.Certificate().Leaf
			if left := time.Until(leaf.NotAfter); left < 5*time.Hour {
				t.Fatalf("after %v the certificate holds for %v only", time.Since(begin), left)
			}
			if serial := leaf.SerialNumber.String(); serial != last {
				if age := time.Since(since); last != "" && age < 15*time.Hour+50*time.Minute {
					t.Errorf("renewed after %v", age)
				}
				serials, last, since = append(serials, serial), serial, time.Now()
			}
		}
		if len(serials) < 9 || len(serials) > 11 {
			t.Errorf("a week had %d certificates, want one for each 16 to 18 hours", len(serials))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestIssuer_ClockJumps: a machine that slept for a day renews within the hour that its timers still want.
func TestIssuer_ClockJumps(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, _ := makeIdentity(t, "dc1", regionA, time.Now())
		offset := make(chan time.Duration, 1)
		offset <- 0
		clock := func() time.Time {
			o := <-offset
			offset <- o
			return time.Now().Add(o)
		}
		i := makeIssuer(t, id, "n1", clock)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- i.Run(ctx) }()
		synctest.Wait()
		<-offset
		offset <- 30 * time.Hour
		time.Sleep(longestWait + time.Minute)
		if left := i.Certificate().Leaf.NotAfter.Sub(clock()); left < 20*time.Hour {
			t.Errorf("an hour after the clock jumped the certificate holds for %v", left)
		}
		cancel()
		<-done
	})
}

// TestIssuer_TheCAEnds: certificates end with the root, and then renewal fails, is logged and costs nothing.
func TestIssuer_TheCAEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		id, _ := makeIdentity(t, "dc1", regionA, time.Now())
		time.Sleep(time.Until(id.Root.NotAfter) - 6*time.Hour)
		var logs bytes.Buffer
		i, err := NewIssuer(IssuerConfig{Identity: id, Server: "n1", Log: slog.New(slog.NewTextHandler(&logs, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if !i.Certificate().Leaf.NotAfter.Equal(id.Root.NotAfter) {
			t.Errorf("a certificate holds until %v, its root until %v", i.Certificate().Leaf.NotAfter, id.Root.NotAfter)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- i.Run(ctx) }()
		time.Sleep(6*time.Hour + 30*time.Minute)
		cancel()
		<-done
		if n := strings.Count(logs.String(), "can not be renewed"); n < 25 || n > 31 {
			t.Errorf("%d failures in half an hour, want one a minute:\n%s", n, logs.String())
		}
		if n := strings.Count(logs.String(), "certificate renewed"); n == 0 || n > 20 {
			t.Errorf("%d renewals in the last six hours of the root", n)
		}
		if _, err := NewIssuer(IssuerConfig{Identity: id, Server: "n1"}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "region dc1 expired at") {
			t.Errorf("after the end: error = %v", err)
		}
	})
}
