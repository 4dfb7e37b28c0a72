package link

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"supercluster/internal/fault"
)

// realPair connects two endpoints over loopback, the dialing one through a socket of the test's choice.
func realPair(t testing.TB, wrap func(net.PacketConn) net.PacketConn, change func(server *Config)) (dialed, accepted *Conn, end func()) {
	t.Helper()
	w := newWorld(t, 0)
	run := func(cfg Config, wrap func(net.PacketConn) net.PacketConn) (*Endpoint, func()) {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		e, err := New(cfg, wrap(socket))
		if err != nil {
			t.Fatal(err)
		}
		return e, runEndpoint(t, e)
	}
	server := w.config(east, time.Hour)
	conns := accepting(&server)
	change(&server)
	bare := func(c net.PacketConn) net.PacketConn { return c }
	to, stopTo := run(server, bare)
	from, stopFrom := run(w.config(west, time.Hour), wrap)
	c, err := from.Dial(within(t, 5*time.Second), east, to.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return c, <-conns, func() { stopFrom(); stopTo() }
}

func TestUDP_DelayedAndMeasured(t *testing.T) {
	reader := sdk.NewManualReader()
	var s shaped
	s.delay.Store(int64(30 * time.Millisecond))
	a, b, end := realPair(t, func(c net.PacketConn) net.PacketConn { return NewShaper(c, s.shape) }, func(server *Config) {
		server.Meter = sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("")
	})
	defer end()
	near, far := open(t, a, b, ClassServices)
	body := noise(3 << 20)
	sent := make(chan error, 1)
	go func() { sent <- near.Send(within(t, 30*time.Second), Message{Type: 3, Body: body}) }()
	m, err := far.Recv(within(t, 30*time.Second))
	if err != nil || m.Type != 3 || !bytes.Equal(m.Body, body) {
		t.Fatalf("%d bytes of type %d, %v", len(m.Body), m.Type, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if rtt := a.Stats().RTT; rtt < 30*time.Millisecond {
		t.Errorf("round trip %v through a delay of 30 ms", rtt)
	}
	got := collect(t, reader)
	for name, least := range map[string]float64{
		"supercluster.link.payload": 3 << 20, "supercluster.link.frames": 3, "supercluster.link.connections": 1,
		"supercluster.link.rtt": 0.03, "supercluster.link.stalls": 0,
	} {
		if v, ok := got[name]; !ok || v < least {
			t.Errorf("%s is %v, there %v, not at least %v", name, v, ok, least)
		}
	}
}

// collect adds up the points of each metric.
func collect(t *testing.T, reader *sdk.ManualReader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					sums[m.Name] += float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					sums[m.Name] += p.Value
				}
			}
		}
	}
	return sums
}

func TestUDP_PortInUse(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	address := socket.LocalAddr().String()
	_, err = net.ListenPacket("udp", address)
	if f := ListenFault(address, err); !fault.Is(f, fault.Unavailable) || !errors.Is(f, err) {
		t.Errorf("%v", f)
	}
}
