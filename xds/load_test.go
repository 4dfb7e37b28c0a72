package xds

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// loadEnv turns the test binary into the clients of a benchmark, in a process of their own.
const loadEnv = "XDS_TEST_LOAD"

// load is what the clients do: connect, take everything, then say when a change arrived.
type load struct {
	Address  string
	Streams  int
	Clusters int
	Delta    bool
}

// rawCodec moves messages as bytes: the clients must not cost more than the server.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	p := v.(*[]byte)
	*p = append((*p)[:0], make([]byte, data.Len())...)
	data.CopyTo(*p)
	return nil
}

// arrival is one response of endpoints at one client.
type arrival struct {
	Stream int
	At     int64
}

func runLoad(mode string) {
	var l load
	if err := json.Unmarshal([]byte(mode), &l); err != nil {
		panic(err)
	}
	ready := make(chan struct{}, l.Streams)
	arrivals := make(chan arrival, 4*l.Streams)
	for i := range l.Streams {
		go func() {
			if err := l.client(i, ready, arrivals); err != nil {
				fmt.Fprintln(os.Stderr, "client", i, err)
				os.Exit(1)
			}
		}()
	}
	go func() { // the parent closes stdin when it is done
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		os.Exit(0)
	}()
	for range l.Streams {
		<-ready
	}
	fmt.Println("ready")
	for round := 0; ; round++ {
		at := make([]int64, l.Streams)
		for i := range at {
			at[i] = (<-arrivals).At
		}
		slices.Sort(at)
		fmt.Println("round", at[0], at[len(at)/2], at[len(at)*99/100], at[len(at)-1])
	}
}

// client is one stream on a connection of its own.
func (l *load) client(i int, ready chan<- struct{}, arrivals chan<- arrival) error {
	conn, err := grpc.NewClient(l.Address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})), grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithStaticStreamWindowSize(4<<20), grpc.WithStaticConnWindowSize(4<<20))
	if err != nil {
		return err
	}
	method := "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
	if l.Delta {
		method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
	}
	stream, err := conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	c := &loadClient{load: l, stream: stream, pending: l.Clusters}
	if err := c.begin(i); err != nil {
		return err
	}
	var buf []byte
	for {
		if err := stream.RecvMsg(&buf); err != nil {
			return err
		}
		endpoints, err := c.take(buf)
		if err != nil {
			return err
		}
		switch {
		case c.pending > 0:
			if c.pending -= endpoints; c.pending == 0 {
				ready <- struct{}{}
			}
		case endpoints > 0:
			arrivals <- arrival{i, time.Now().UnixNano()}
		}
	}
}

// loadClient speaks either protocol with as little work as it can.
type loadClient struct {
	load    *load
	stream  grpc.ClientStream
	names   []byte // the encoded names of a state-of-the-world request
	pending int    // endpoints that did not come yet
}

func (c *loadClient) begin(i int) error {
	var node []byte
	node = appendField(node, 1, fmt.Sprintf("client-%d", i))
	role := "grpc"
	if c.load.Delta {
		role = "sidecar"
	}
	node = appendField(node, 3, metadataBytes(map[string]string{
		resources.MetadataRole: role, resources.MetadataListen: "127.0.0.1:15001",
	}))
	if c.load.Delta {
		return c.stream.SendMsg(appendField(appendField(nil, 1, string(node)), 2, resources.Cluster.URL()))
	}
	for n := range c.load.Clusters {
		c.names = appendField(c.names, 3, serviceName(n))
	}
	return c.stream.SendMsg(append(appendField(appendField(nil, 2, string(node)), 4, resources.Cluster.URL()), c.names...))
}

// metadataBytes encodes a google.protobuf.Struct of strings.
func metadataBytes(fields map[string]string) string {
	var b []byte
	for k, v := range fields {
		entry := appendField(appendField(nil, 1, k), 2, string(appendField(nil, 3, v)))
		b = appendField(b, 1, string(entry))
	}
	return string(b)
}

// take acknowledges a response and tells how many endpoints it had.
func (c *loadClient) take(b []byte) (int, error) {
	var url, nonce string
	var count int
	var names []string
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		b = b[n:]
		if kind != protowire.BytesType {
			return 0, fmt.Errorf("field %d of kind %d", field, kind)
		}
		value, n := protowire.ConsumeBytes(b)
		b = b[n:]
		switch field {
		case 2:
			count++
			if c.load.Delta && c.pending > 0 {
				names = append(names, deltaName(value))
			}
		case 4:
			url = string(value)
		case 5:
			nonce = string(value)
		}
	}
	isCluster := url == resources.Cluster.URL()
	if c.load.Delta {
		if err := c.stream.SendMsg(appendField(appendField(nil, 2, url), 6, nonce)); err != nil {
			return 0, err
		}
	} else if err := c.stream.SendMsg(append(appendField(appendField(nil, 4, url), 5, nonce), c.names...)); err != nil {
		return 0, err
	}
	if isCluster && c.pending == c.load.Clusters && count > 0 {
		return 0, c.subscribe(names)
	}
	if isCluster {
		return 0, nil
	}
	return count, nil
}

func (c *loadClient) subscribe(names []string) error {
	if !c.load.Delta {
		return c.stream.SendMsg(append(appendField(nil, 4, resources.Endpoint.URL()), c.names...))
	}
	req := appendField(nil, 2, resources.Endpoint.URL())
	for _, name := range names {
		req = appendField(req, 3, name)
	}
	return c.stream.SendMsg(req)
}

func deltaName(b []byte) string {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		b = b[n:]
		if field == 3 {
			name, _ := protowire.ConsumeString(b)
			return name
		}
		b = b[protowire.ConsumeFieldValue(field, kind, b):]
	}
	return ""
}

func serviceName(n int) string { return fmt.Sprintf("service-%04d", n) }

// clients are the clients of a benchmark in their process.
type clients struct {
	cmd  *exec.Cmd
	out  *bufio.Scanner
	stop func()
}

func startClients(t testing.TB, l load) *clients {
	t.Helper()
	mode, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), loadEnv+"="+string(mode))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &clients{cmd: cmd, out: bufio.NewScanner(out)}
	c.stop = sync.OnceFunc(func() { in.Close(); _ = cmd.Wait() })
	t.Cleanup(c.stop)
	return c
}

// wait reads the next line that begins with a word and gives its numbers.
func (c *clients) wait(t testing.TB, word string) []int64 {
	t.Helper()
	for c.out.Scan() {
		fields := strings.Fields(c.out.Text())
		if len(fields) == 0 || fields[0] != word {
			continue
		}
		var numbers []int64
		for _, f := range fields[1:] {
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, n)
		}
		return numbers
	}
	t.Fatalf("the clients ended before %q", word)
	return nil
}

// fill registers services of some instances.
func fill(t testing.TB, r *registryOf, services, instances int) {
	t.Helper()
	for n := range services {
		for i := range instances {
			r.register(t, serviceName(n), 10_000+i)
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func residentKB() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// BenchmarkFanOut measures, with the clients in a process of their own, how long one changed endpoint takes until
// the first, the median and the last client has it, and what a client costs. Run it with -benchtime=20x.
func BenchmarkFanOut(b *testing.B) {
	for _, l := range []load{
		{Streams: 1, Clusters: 100, Delta: true},
		{Streams: 100, Clusters: 100, Delta: true},
		{Streams: 1000, Clusters: 100, Delta: true},
		{Streams: 1000, Clusters: 1000, Delta: true},
		{Streams: 1000, Clusters: 100},
		{Streams: 1000, Clusters: 1000},
	} {
		protocol := "sotw"
		if l.Delta {
			protocol = "delta"
		}
		b.Run(fmt.Sprintf("%s/streams=%d/clusters=%d", protocol, l.Streams, l.Clusters), func(b *testing.B) {
			fanOut(b, l)
		})
	}
}

func fanOut(b *testing.B, l load) {
	r := newRegistry(b)
	fill(b, r, l.Clusters, 5)
	s := start(b, r)
	l.Address = s.address
	before := residentKB()
	begin, cpu := time.Now(), cpuTime()
	c := startClients(b, l)
	c.wait(b, "ready")
	loaded, loadCPU := time.Since(begin), cpuTime()-cpu
	eventually(b, "everything acknowledged", func() bool {
		for _, st := range s.snapshot() {
			if !st.session.Load().oldest().IsZero() {
				return false
			}
		}
		return true
	})
	memory := residentKB() - before

	var first, median, last []time.Duration
	cpu = cpuTime()
	b.ResetTimer()
	for n := range b.N {
		at := time.Now().UnixNano()
		r.register(b, serviceName(0), 10_000, func(in *pb.Instance) { in.Weight = uint32(1 + n%2) })
		got := c.wait(b, "round")
		first = append(first, time.Duration(got[0]-at))
		median = append(median, time.Duration(got[1]-at))
		last = append(last, time.Duration(got[3]-at))
		time.Sleep(20 * time.Millisecond) // until the acknowledgements are in
	}
	b.StopTimer()
	cpu = cpuTime() - cpu
	c.stop()
	ms := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(ms(first), "first-ms")
	b.ReportMetric(ms(median), "p50-ms")
	b.ReportMetric(ms(last), "last-ms")
	b.ReportMetric(float64(last[len(last)-1].Microseconds())/1000, "worst-last-ms")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N*l.Streams), "server-us/push")
	b.ReportMetric(float64(memory)/float64(l.Streams), "KB/stream")
	b.ReportMetric(float64(loaded.Milliseconds()), "load-ms")
	b.ReportMetric(float64(loadCPU.Microseconds())/float64(l.Streams), "load-us/stream")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMemory measures what a connected client costs the server, its connection included.
func BenchmarkMemory(b *testing.B) {
	for _, clusters := range []int{100, 1000} {
		b.Run(fmt.Sprintf("clusters=%d", clusters), func(b *testing.B) {
			const streams = 1000
			r := newRegistry(b)
			fill(b, r, clusters, 5)
			s := start(b, r)
			warm := startClients(b, load{Address: s.address, Streams: 1, Clusters: clusters, Delta: true})
			warm.wait(b, "ready") // everything is built
			heap, stacks, resident := memory()
			c := startClients(b, load{Address: s.address, Streams: streams, Clusters: clusters, Delta: true})
			c.wait(b, "ready")
			heap2, stacks2, resident2 := memory()
			b.ReportMetric(float64(heap2-heap)/streams/1024, "heap-KB/stream")
			b.ReportMetric(float64(stacks2-stacks)/streams/1024, "stack-KB/stream")
			b.ReportMetric(float64(resident2-resident)/streams, "rss-KB/stream")
			b.ReportMetric(0, "ns/op")
			c.stop()
			warm.stop()
		})
	}
}

// memory gives what is in use after a collection: heap and stacks in bytes, the resident set in KB.
func memory() (heap, stacks int64, resident int) {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse), int64(m.StackInuse), residentKB()
}

// BenchmarkFirstClient measures how long the first client of a large tenant waits until everything is built.
func BenchmarkFirstClient(b *testing.B) {
	r := newRegistry(b)
	for n := range 10_000 {
		r.register(b, serviceName(n), 9000)
	}
	for b.Loop() {
		newBench(b, r).connect(ir.RoleSidecar, true)
	}
}
