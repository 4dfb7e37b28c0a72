package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/rogpeppe/go-internal/testscript"

	"supercluster/internal/procs"
	"supercluster/internal/tlsfiles"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"supercluster": main})
}

// TestScripts runs the scripts of testdata/script against the real binary. Further commands:
//
//	dev [ARG...]              start a dev server on free ports; sets SUPERCLUSTER_SERVER, HTTP, DNS, ADMIN, PROBE
//	start CONFIG [ARG...]     start a server with a configuration file
//	serve CONFIG [ARG...]     the same, and wait until it is ready
//	halt                      end the server that was started last, gently; its exit code must be 0
//	crash [NODE]              end it, or the newest server with the configuration NODE.yaml, as a power failure does
//	ended REGEXP              wait until the server that was started last ended by itself; its output must match
//	backend NAME              start an HTTP server that is healthy; sets $NAME to its port
//	eventually REGEXP CMD...  run supercluster until its output matches
//	watch FILE CMD...         run supercluster in the background with its output in FILE
//	waitfor FILE REGEXP       wait until the file matches
//	fetch URL [NAME]          print an HTTP answer, status line and body; over TLS with ca.pem and the certificate NAME
//	resolve NAME              print the addresses that DNS has for a name
//	ports N                   set P1..PN to free ports
//	proxy ID                  connect over xDS as an Envoy does and ask for all clusters
//	ack CLUSTER               accept what it is sent until the cluster is there; sets VERSION to that of the last response
//	nack CLUSTER TEXT         reject the next response, which has the cluster, for a reason; sets VERSION to that of the response
//	sources REGIONS CMD...    run supercluster with -o json; each record must be of one of the regions, say at which revision, and be of known age
//	certs                     write ca.pem and NAME.pem, NAME.key for node, ops, reader, proxy and nobody
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if raceDetector {
		// A start of the program takes many times longer then; most scripts are about what one-shot commands say.
		scripts = []string{"testdata/script/quickstart.txtar", "testdata/script/watch.txtar", "testdata/script/region.txtar"}
	}
	scripts = withNext(t, scripts)
	testscript.Run(t, testscript.Params{
		Files:               scripts,
		Setup:               setup,
		Cmds:                commands(),
		Condition:           condition,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// condition knows `mounts`: this process may mount a file system where nobody else sees it. Where nothing may be left out, it counts as true.
func condition(cond string) (bool, error) {
	if cond != "mounts" {
		return false, fmt.Errorf("there is no condition %q", cond)
	}
	return os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") != "" || exec.Command("unshare", "-m", "true").Run() == nil, nil
}

// withNext leaves the script about the next release out when there is no build that plays it, and says so.
func withNext(t *testing.T, scripts []string) []string {
	at := slices.Index(scripts, "testdata/script/next.txtar")
	if at < 0 || os.Getenv("NEXT_SUPERCLUSTER") != "" {
		return scripts
	}
	const missing = "NEXT_SUPERCLUSTER names no build with the tag fednext: run `make test`"
	if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") != "" {
		t.Fatal(missing)
	}
	t.Log("SKIP: next.txtar: " + missing)
	return slices.Delete(scripts, at, at+1)
}

func commands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"dev": cmdDev, "start": cmdStart, "serve": cmdServe, "halt": cmdHalt, "crash": cmdCrash, "ended": cmdEnded, "backend": cmdBackend, "eventually": cmdEventually,
		"watch": cmdWatch, "waitfor": cmdWaitFor, "fetch": cmdFetch, "resolve": cmdResolve, "ports": cmdPorts, "certs": cmdCerts,
		"proxy": cmdProxy, "ack": cmdACK, "nack": cmdNACK, "sources": cmdSources,
	}
}

type stateKey struct{}

// state is what a script started.
type state struct {
	mu    sync.Mutex
	procs []*proc
	proxy discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient // of the command proxy, the last one
}

// proc is a running supercluster.
type proc struct {
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan struct{}
	err  error
	// server: it is halt's and crash's to end.
	server bool
}

func setup(env *testscript.Env) error {
	s := &state{}
	env.Values[stateKey{}] = s
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "xdg"))
	env.Setenv("TMPDIR", env.WorkDir)
	env.Setenv("NEXT_SUPERCLUSTER", os.Getenv("NEXT_SUPERCLUSTER"))
	env.Defer(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.procs {
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	})
	return nil
}

// lockedBuffer is written by a process while a script reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func launch(ts *testscript.TestScript, out io.Writer, args ...string) *proc {
	path, err := exec.LookPath("supercluster")
	ts.Check(err)
	p := &proc{cmd: exec.Command(path, args...), out: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "XDG_CONFIG_HOME", "SUPERCLUSTER_SERVER"} {
		p.cmd.Env = append(p.cmd.Env, name+"="+ts.Getenv(name))
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if out != nil {
		p.cmd.Stdout = out
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ts.Check(p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s := ts.Value(stateKey{}).(*state)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs = append(s.procs, p)
	return p
}

// await waits for a text in the output of a process.
func await(ts *testscript.TestScript, p *proc, text string) {
	for end := time.Now().Add(20 * time.Second); !strings.Contains(p.out.String(), text); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.done:
			ts.Fatalf("ended before it said %q: %v\n%s", text, p.err, p.out.String())
		default:
		}
		if time.Now().After(end) {
			ts.Fatalf("did not say %q in time\n%s", text, p.out.String())
		}
	}
}

func cmdDev(ts *testscript.TestScript, _ bool, args []string) {
	listeners, byName, err := freeListeners()
	ts.Check(err)
	for name, addr := range byName {
		ts.Setenv(strings.ToUpper(name), addr)
	}
	ts.Setenv("SUPERCLUSTER_SERVER", byName["grpc"])
	p := launch(ts, nil, slices.Concat([]string{"dev"}, listeners, args)...)
	p.server = true
	await(ts, p, "\nready in ")
	ts.Check(os.WriteFile(ts.MkAbs("dev.out"), []byte(p.out.String()), 0o600))
}

func cmdStart(ts *testscript.TestScript, _ bool, args []string) {
	launch(ts, nil, append([]string{"server", "--config"}, args...)...).server = true
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	cmdStart(ts, neg, args)
	await(ts, last(ts), ": ready in ") // "already in use" is none
}

func last(ts *testscript.TestScript) *proc {
	s := ts.Value(stateKey{}).(*state)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.procs) - 1; i >= 0; i-- {
		if s.procs[i].server {
			return s.procs[i]
		}
	}
	ts.Fatalf("no server was started")
	return nil
}

func cmdHalt(ts *testscript.TestScript, _ bool, _ []string) {
	p := last(ts)
	ts.Check(p.cmd.Process.Signal(os.Interrupt))
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // as timeout(1) does: it must not cut the stop short
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		ts.Fatalf("does not stop\n%s", p.out.String())
	}
	ts.Logf("%s", p.out.String())
	if p.err != nil {
		ts.Fatalf("ended with %v", p.err)
	}
}

func cmdCrash(ts *testscript.TestScript, _ bool, args []string) {
	p := last(ts)
	if len(args) > 0 {
		p = newest(ts, args[0]+".yaml")
	}
	ts.Check(p.cmd.Process.Kill())
	<-p.done
}

// newest finds the server that was started last with a configuration file.
func newest(ts *testscript.TestScript, file string) *proc {
	s := ts.Value(stateKey{}).(*state)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.procs) - 1; i >= 0; i-- {
		if p := s.procs[i]; p.server && slices.Contains(p.cmd.Args, file) {
			return p
		}
	}
	ts.Fatalf("no server was started with %s", file)
	return nil
}

func cmdEnded(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	p := last(ts)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		ts.Fatalf("does not end\n%s", p.out.String())
	}
	if !want.MatchString(p.out.String()) {
		ts.Fatalf("said\n%s", p.out.String())
	}
}

func cmdBackend(ts *testscript.TestScript, _ bool, args []string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello") }))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL[strings.LastIndex(s.URL, ":")+1:])
}

func cmdEventually(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	end := time.Now().Add(15 * time.Second)
	for {
		p := launch(ts, nil, args[1:]...)
		<-p.done
		if want.MatchString(p.out.String()) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("never matched %q; the last output:\n%s\n%s", args[0], p.out.String(), serversSaid(ts))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// serversSaid gives the end of what each server of the script printed, and how those that ended did.
func serversSaid(ts *testscript.TestScript) string {
	const most = 8 << 10
	s := ts.Value(stateKey{}).(*state)
	s.mu.Lock()
	defer s.mu.Unlock()
	var all strings.Builder
	for _, p := range s.procs {
		if !p.server {
			continue
		}
		ended := "runs"
		select {
		case <-p.done:
			ended = fmt.Sprintf("ended: %v", p.err)
		default:
		}
		out := p.out.String()
		fmt.Fprintf(&all, "-- %s (%s)\n%s\n", strings.Join(p.cmd.Args[1:], " "), ended, out[max(0, len(out)-most):])
	}
	return all.String()
}

func cmdWatch(ts *testscript.TestScript, _ bool, args []string) {
	file, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { file.Close() })
	launch(ts, file, args[1:]...)
}

func cmdWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		ts.Check(err)
		if want.Match(data) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s never matched %q:\n%s", args[0], args[1], data)
		}
	}
}

func cmdFetch(ts *testscript.TestScript, neg bool, args []string) {
	files := tlsfiles.Files{}
	if strings.HasPrefix(args[0], "https:") {
		files.CA = ts.MkAbs("ca.pem")
	}
	if len(args) > 1 {
		files.Cert, files.Key = ts.MkAbs(args[1]+".pem"), ts.MkAbs(args[1]+".key")
	}
	config, err := tlsfiles.ClientConfig(files, time.Now())
	ts.Check(err)
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Get(args[0])
	if neg {
		if err == nil {
			r.Body.Close()
			ts.Fatalf("%s answered %s", args[0], r.Status)
		}
		fmt.Fprintln(ts.Stderr(), err)
		return
	}
	ts.Check(err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s", r.Status, body)
}

func cmdResolve(ts *testscript.TestScript, _ bool, args []string) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, ts.Getenv("DNS"))
	}}
	addrs, err := r.LookupHost(context.Background(), args[0])
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), strings.Join(addrs, "\n"))
}

func cmdPorts(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ports, err := procs.FreePorts(n)
	ts.Check(err)
	for i, p := range ports {
		ts.Setenv(fmt.Sprintf("P%d", i+1), strconv.Itoa(p))
	}
}
