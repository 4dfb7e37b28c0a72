package wan

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync/atomic"
)

// WAN is the network of a run.
type WAN struct {
	sites   []string
	carrier *carrier
	lines   map[[2]int]*direction // from, to
	threads int                   // that carry packets

	spaces []*space                       // as root
	twins  atomic.Pointer[map[[2]int]int] // from, to: the site that gets it instead
	proxy  *proxy                         // without
}

// Unavailable says why this process cannot make namespaces; nil: it can. RequireEnv says where that must not be.
func Unavailable() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("network namespaces need root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("there is no TUN device: %w", err)
	}
	return nil
}

// RequireEnv is the variable that turns a skip into a failure, as .ci/run sets it.
const RequireEnv = "SUPERCLUSTER_REQUIRE_CLIENTS"

// New makes a network with a namespace for each site. It needs root; see Unavailable.
func New(sites ...string) (*WAN, error) {
	w, err := newWAN(sites)
	if err != nil {
		return nil, err
	}
	return w, w.spread(nil)
}

// NewWithTwin is New with one more site, which has the address of another one. What is sent to the address goes to the
// other one, except by sites that Redirect names.
func NewWithTwin(twin, of string, sites ...string) (*WAN, error) {
	w, err := newWAN(append(slices.Clone(sites), twin))
	if err != nil {
		return nil, err
	}
	return w, w.spread(map[int]int{len(sites): w.site(of)})
}

// spread makes the namespaces; some have the address of another one.
func (w *WAN) spread(address map[int]int) error {
	for i, name := range w.sites {
		as := i
		if of, ok := address[i]; ok {
			as = of
		}
		s, err := newSpace(as, func(to int, b []byte) { w.route(i, to, b) })
		if err != nil {
			w.Close()
			return fmt.Errorf("site %s: %w", name, err)
		}
		w.spaces = append(w.spaces, s)
	}
	w.more(len(w.spaces))
	for _, s := range w.spaces {
		s.start()
	}
	return nil
}

// more gives room to so many more threads that carry packets.
func (w *WAN) more(threads int) {
	w.threads += threads
	room(threads)
}

// Redirect lets what a site sends to another one go to its twin, or no more.
func (w *WAN) Redirect(from, to, twin string, on bool) {
	w.carrier.locked(func() {
		next := map[[2]int]int{}
		if last := w.twins.Load(); last != nil {
			maps.Copy(next, *last)
		}
		way := [2]int{w.site(from), w.site(to)}
		if delete(next, way); on {
			next[way] = w.site(twin)
		}
		w.twins.Store(&next)
	})
}

// NewProxy makes a network of UDP proxies on loopback, which needs no root.
func NewProxy(sites ...string) (*WAN, error) {
	w, err := newWAN(sites)
	if err == nil {
		w.proxy = newProxy(func(from, to int, b []byte, send func([]byte)) { w.carrier.carry(w.lines[[2]int{from, to}], b, send) })
	}
	return w, err
}

func newWAN(sites []string) (*WAN, error) {
	if len(sites) < 1 || len(sites) > 200 {
		return nil, fmt.Errorf("a network has 1 to 200 sites, not %d", len(sites))
	}
	w := &WAN{sites: sites, lines: map[[2]int]*direction{}}
	for i := range sites {
		for j := range sites {
			w.lines[[2]int{i, j}] = newDirection(uint64(i)<<8 | uint64(j))
		}
	}
	var err error
	if w.carrier, err = newCarrier(); err == nil {
		w.more(1)
	}
	return w, err
}

// Proxied reports whether only UDP to the public addresses is shaped.
func (w *WAN) Proxied() bool { return w.proxy != nil }

// route brings a packet that a site sent to the site that it is for.
func (w *WAN) route(from, to int, b []byte) {
	if twins := w.twins.Load(); twins != nil {
		if twin, ok := (*twins)[[2]int{from, to}]; ok {
			to = twin
		}
	}
	if to >= 0 && to < len(w.spaces) && to != from {
		w.carrier.carry(w.lines[[2]int{from, to}], b, w.spaces[to].send)
	}
}

func (w *WAN) site(name string) int {
	for i, s := range w.sites {
		if s == name {
			return i
		}
	}
	panic("no such site: " + name)
}

// Shape sets one direction.
func (w *WAN) Shape(from, to string, l Line) {
	d := w.lines[[2]int{w.site(from), w.site(to)}]
	w.carrier.locked(func() { d.set(l) })
}

// Both sets both directions between two sites.
func (w *WAN) Both(a, b string, l Line) {
	w.Shape(a, b, l)
	w.Shape(b, a, l)
}

// Change changes both directions between two sites as they are now, for example to cut and heal them.
func (w *WAN) Change(a, b string, change func(l *Line)) {
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		d := w.lines[[2]int{w.site(pair[0]), w.site(pair[1])}]
		w.carrier.locked(func() {
			l := d.line
			change(&l)
			d.set(l)
		})
	}
}

// Stats is what happened in one direction so far.
func (w *WAN) Stats(from, to string) (s Stats) {
	d := w.lines[[2]int{w.site(from), w.site(to)}]
	w.carrier.locked(func() { s = d.stats })
	return s
}

// Inside runs fn on a thread inside a site: sockets that it opens and processes that it starts belong there. What fn
// starts as goroutines does not.
func (w *WAN) Inside(site string, fn func() error) error {
	if w.proxy != nil {
		return fn()
	}
	return w.spaces[w.site(site)].inside(fn)
}

// Dial opens a TCP connection from inside a site, to an IP address: its loopback is not shaped.
func (w *WAN) Dial(ctx context.Context, site, address string) (conn net.Conn, err error) {
	err = w.Inside(site, func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// UDPAddress gives a place for a UDP server of a site: where it listens, and where other sites reach it. With namespaces
// that is one address with the port that is given; proxies take free ports.
func (w *WAN) UDPAddress(site string, port int) (listen, public string, err error) {
	i := w.site(site)
	if w.proxy == nil {
		a := fmt.Sprintf("%s:%d", w.spaces[i].ip, port)
		return a, a, nil
	}
	return w.proxy.expose(i)
}

// IP is the address of a site in its namespace.
func (w *WAN) IP(site string) string {
	if w.proxy != nil {
		return "127.0.0.1"
	}
	return w.spaces[w.site(site)].ip
}

// Close ends the network. Namespaces end with the last process inside.
func (w *WAN) Close() {
	w.carrier.close() // before what it sends to
	for _, s := range w.spaces {
		s.close()
	}
	if w.proxy != nil {
		w.proxy.close()
	}
	room(-w.threads)
}
