package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

// refuse dials a server once and gives the errors of both ends.
func refuse(t *testing.T, expect [16]byte, change func(w *world, client, server *Config)) (dialed error, served bool) {
	t.Helper()
	w := newWorld(t, 20*time.Millisecond)
	client, server := w.config(west, time.Hour), w.config(east, time.Hour)
	server.Accept = func(context.Context, *Conn) error { served = true; return nil }
	change(w, &client, &server)
	from, _ := w.add(client)
	_, to := w.add(server)
	defer w.run()()
	c, err := from.Dial(within(t, 5*time.Second), expect, to)
	if err == nil { // the server's judgement comes after the client's
		<-c.Done()
		err = c.Err()
	}
	return err, served
}

func TestDial_Refused(t *testing.T) {
	none := func(*world, *Config, *Config) {}
	for _, tt := range []struct {
		name   string
		expect [16]byte
		change func(w *world, client, server *Config)
		kind   fault.Kind
		text   string
	}{
		{"another region answers", north, none, fault.Denied, "not of region 03"},
		{"server certificate of a stranger", east, func(w *world, _, server *Config) {
			stranger := newAuthority(t)
			server.Server = tlsConfig(stranger.issue(t, server.Self, time.Hour), w.ca[west])
		}, fault.Unauthenticated, "TLS handshake failed"},
		{"client certificate of a stranger", east, func(w *world, client, _ *Config) {
			stranger := newAuthority(t)
			c := tlsConfig(stranger.issue(t, client.Self, time.Hour), w.ca[east])
			client.Client = func([16]byte) (*tls.Config, error) { return c, nil }
		}, fault.Unauthenticated, "TLS handshake failed"},
		{"expired server certificate", east, func(w *world, _, server *Config) {
			server.Server = tlsConfig(w.ca[east].issue(t, server.Self, -time.Minute), w.ca[west])
		}, fault.Unauthenticated, "expired"},
		{"expired client certificate", east, func(w *world, client, _ *Config) {
			c := tlsConfig(w.ca[west].issue(t, client.Self, -time.Minute), w.ca[east])
			client.Client = func([16]byte) (*tls.Config, error) { return c, nil }
		}, fault.Unauthenticated, ""},
		{"no client certificate", east, func(w *world, client, _ *Config) {
			c := tlsConfig(tls.Certificate{}, w.ca[east])
			c.Certificates = nil
			client.Client = func([16]byte) (*tls.Config, error) { return c, nil }
		}, fault.Unauthenticated, ""},
		{"certificate that names nobody", east, func(_ *world, _, server *Config) {
			server.Identify = func(tls.ConnectionState) (PeerID, error) { return PeerID{}, io.EOF }
		}, fault.Unauthenticated, "names no server"},
		{"the region itself", east, func(w *world, client, _ *Config) {
			c := tlsConfig(w.ca[east].issue(t, PeerID{Region: east, Server: "node-2"}, time.Hour), w.ca[east])
			client.Client = func([16]byte) (*tls.Config, error) { return c, nil }
		}, fault.Denied, "of this region itself"},
		{"nobody accepts", east, func(_ *world, _, server *Config) { server.Accept = nil }, fault.Denied, "takes no connections"},
		{"versions do not overlap", east, func(_ *world, client, _ *Config) {
			client.versions = versionRange{7, 9}
		}, fault.Unsupported, "versions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				err, served := refuse(t, tt.expect, tt.change)
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) || served {
					t.Errorf("served %v: %s %v", served, fault.KindOf(err), err)
				}
			})
		})
	}
}

func TestDial_NewerPeer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		first := true
		_, a, b, end := pair(t, 20*time.Millisecond, func(c *Config) {
			c.Level = 4
			if first {
				c.versions, c.Level = versionRange{1, 9}, 12
			}
			first = false
		})
		defer end()
		for _, c := range []*Conn{a, b} {
			if p := c.Peer(); p.Version != 1 || p.Level != 4 {
				t.Errorf("agreed on version %d, level %d", p.Version, p.Level)
			}
		}
	})
}

// TestDial_NoResumption holds that no session ticket lets a peer in without its certificate being looked at.
func TestDial_NoResumption(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		client, server := w.config(west, time.Hour), w.config(east, time.Hour)
		checked := 0
		verify := server.Server.VerifyConnection
		server.Server.VerifyConnection = func(s tls.ConnectionState) error {
			if s.DidResume {
				t.Error("a session was resumed")
			}
			checked++
			return verify(s)
		}
		c, _ := client.Client(east)
		c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		from, _ := w.add(client)
		_, to := w.add(server)
		defer w.run()()
		for range 2 {
			conn, err := from.Dial(within(t, 5*time.Second), east, to)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if conn.raw.ConnectionState().Used0RTT {
				t.Error("0-RTT was used")
			}
			conn.Close(nil)
		}
		if synctest.Wait(); checked != 2 {
			t.Errorf("the certificate was checked %d times", checked)
		}
	})
}

func TestListener_PerRegion(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		server := w.config(east, time.Hour)
		server.Limits.MaxPerRegion = 2
		from, _ := w.add(w.config(west, time.Hour))
		other, _ := w.add(w.config(north, time.Hour))
		_, to := w.add(server)
		defer w.run()()
		dial := func(e *Endpoint) error {
			time.Sleep(time.Second) // below the rate of one source
			c, err := e.Dial(within(t, 5*time.Second), east, to)
			if err != nil {
				return err
			}
			time.Sleep(time.Second)
			return c.Err()
		}
		for i, want := range []bool{true, true, false} {
			if err := dial(from); (err == nil) != want || err != nil && !fault.Is(err, fault.Busy) {
				t.Errorf("connection %d: %v", i, err)
			}
		}
		if err := dial(other); err != nil {
			t.Errorf("another region: %v", err)
		}
	})
}

func TestListener_Full(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		server := w.config(east, time.Hour)
		server.Limits.MaxConnections = 3
		from, _ := w.add(w.config(west, time.Hour))
		_, to := w.add(server)
		defer w.run()()
		results := make(chan error, 6)
		var first *Conn
		for i := range 6 { // all at once: none of them is counted yet when the others begin
			go func() {
				c, err := from.Dial(within(t, 5*time.Second), east, to)
				if err == nil {
					time.Sleep(time.Second)
					err = c.Err()
				}
				if err == nil && i == 0 {
					first = c
				}
				results <- err
			}()
		}
		served := 0
		for range 6 {
			if err := <-results; err == nil {
				served++
			} else if !fault.Is(err, fault.Busy) {
				t.Errorf("refused by %v", err)
			}
		}
		if served > 3 || served == 0 {
			t.Errorf("%d connections are served", served)
		}
		if first == nil {
			return
		}
		first.Close(nil)
		time.Sleep(5 * time.Second)
		if _, err := from.Dial(within(t, 5*time.Second), east, to); err != nil {
			t.Errorf("after one has ended: %v", err)
		}
	})
}

// TestListener_Load holds that a burst of attempts is made to prove its address and then slowed down, and that the
// listener serves again afterwards.
func TestListener_Load(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		server := w.config(east, time.Hour)
		server.Limits.MaxPerRegion = 64
		from, _ := w.add(w.config(west, time.Hour))
		e, to := w.add(server)
		defer w.run()()
		refused := 0
		for range 120 {
			c, err := from.Dial(within(t, 5*time.Second), east, to)
			if err == nil {
				c.Close(nil)
				continue
			}
			if refused++; !fault.Is(err, fault.Busy) {
				t.Errorf("refused by %v", err)
			}
		}
		if refused == 0 || refused == 120 || e.metrics.refused[fault.Busy].Load() == 0 {
			t.Errorf("%d of 120 attempts at once were refused", refused)
		}
		time.Sleep(10 * time.Second)
		if _, err := from.Dial(within(t, 5*time.Second), east, to); err != nil {
			t.Errorf("after the burst: %v", err)
		}
	})
}

// TestListener_Crash restarts a server without a farewell: with the same key its peers notice before the idle time.
func TestListener_Crash(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		server := w.config(east, time.Hour)
		server.ResetKey = [32]byte{1, 2, 3}
		from, _ := w.add(w.config(west, time.Hour))
		socket, to := w.socket()
		first, err := New(server, socket)
		if err != nil {
			t.Fatal(err)
		}
		defer w.run()()
		stop := runEndpoint(t, first)
		c, err := from.Dial(within(t, 5*time.Second), east, to)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := c.Open(within(t, time.Second), ClassConfig)
		if err != nil {
			t.Fatal(err)
		}
		w.weather.set(func(w *weather) { w.black = true })
		stop()
		rest := &simnet.Simnet{Router: w.weather}
		second, err := New(server, rest.NewEndpoint(socket.LocalAddr().(*net.UDPAddr), simnet.NodeBiDiLinkSettings{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := rest.Start(); err != nil {
			t.Fatal(err)
		}
		defer rest.Close()
		defer runEndpoint(t, second)()
		w.weather.set(func(w *weather) { w.black = false })
		began := time.Now()
		for c.Err() == nil { // what answers must be longer than a sign of life
			if err := stream.Send(context.Background(), Message{Body: noise(100)}); err != nil {
				break
			}
			time.Sleep(500 * time.Millisecond)
		}
		<-c.Done()
		if took := time.Since(began); took > 4*time.Second || !fault.Is(c.Err(), fault.Unavailable) {
			t.Errorf("the restart was noticed after %v: %v", took, c.Err())
		}
	})
}

func TestEndpoint_NeverRun(t *testing.T) {
	w := newWorld(t, 0)
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(w.config(west, time.Hour), socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Dial(canceled(), east, e.Addr().String()); !fault.Is(err, fault.Canceled) {
		t.Errorf("Dial: %v", err)
	}
	e.Close()
	again, err := net.ListenPacket("udp", socket.LocalAddr().String())
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	again.Close()
}

func TestConfig_Refused(t *testing.T) {
	w := newWorld(t, 0)
	for name, change := range map[string]func(*Config){
		"no region":        func(c *Config) { c.Self.Region = [16]byte{} },
		"no TLS":           func(c *Config) { c.Server = nil },
		"no identities":    func(c *Config) { c.Identify = nil },
		"no certificates":  func(c *Config) { c.Server = &tls.Config{RootCAs: x509.NewCertPool()} },
		"frame of 2 MiB":   func(c *Config) { c.Limits.MaxFrame = 2 << 20 },
		"tiny messages":    func(c *Config) { c.Limits.MaxMessage = 1 },
		"one stream":       func(c *Config) { c.Limits.MaxStreams = 1 },
		"negative time":    func(c *Config) { c.Limits.KeepAlive = -1 },
		"idle below 1 s":   func(c *Config) { c.Limits.Idle = time.Millisecond },
		"negative windows": func(c *Config) { c.Limits.StreamWindow = -1 },
	} {
		cfg := w.config(west, time.Hour)
		change(&cfg)
		if _, err := New(cfg, nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
