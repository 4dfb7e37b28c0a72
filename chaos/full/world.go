package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"supercluster/chaos/clock"
	"supercluster/chaos/disk"
	"supercluster/chaos/drive"
	"supercluster/chaos/fleet"
	"supercluster/chaos/lan"
	"supercluster/chaos/wan"
)

const (
	diskSize = 2 << 30 // more than a server wants to see free; the files are sparse
	oneWay   = 10 * time.Millisecond
	skew     = time.Hour
	twinSite = "twin" // where the second copy of a region lives
	twinOf   = "dc3"
)

// world is everything of one run.
type world struct {
	programs *programs
	run      *drive.Run
	dir      string // of disks

	wan   *wan.WAN
	lan   *lan.LAN // between the servers of the region of three
	disks map[string]*disk.Disk
	fleet *fleet.Fleet
	sites []*site
	// excused says of regions why their servers may rightly stay away.
	excused map[string]string
}

// site is one region.
type site struct {
	*fleet.Region
	world *world
}

func (p *programs) world(run *drive.Run) (drive.World, error) {
	dir, err := os.MkdirTemp("", "chaos-disks-")
	if err != nil {
		return nil, err
	}
	return &world{programs: p, run: run, dir: dir, disks: map[string]*disk.Disk{}, excused: map[string]string{}}, nil
}

// Regions gives all, in the order of the plan.
func (w *world) Regions() (all []drive.Region) {
	for _, s := range w.sites {
		all = append(all, s)
	}
	return all
}

// Start starts everything, on networks and disks that can fail.
func (w *world) Start(ctx context.Context) (err error) {
	var names []string
	for _, r := range w.run.Plan.Regions {
		names = append(names, r.Name)
	}
	if w.wan, err = wan.NewWithTwin(twinSite, twinOf, names...); err != nil {
		return err
	}
	names = append(names, twinSite)
	for i, a := range names {
		for _, b := range names[i+1:] {
			w.wan.Both(a, b, wan.Line{Delay: oneWay})
		}
	}
	for _, name := range []string{onlyDisk, thirdDisk} {
		dir := filepath.Join(w.dir, strings.ReplaceAll(name, "/", "-"))
		if w.disks[name], err = disk.New(dir, diskSize); err != nil {
			return err
		}
	}
	// A server refuses certificates that are not valid yet, so those of the run are older than its clocks are wrong.
	earlier := []string{"env", clock.Setting(-2 * skew), w.programs.wrong}
	var all []fleet.Site
	for _, r := range w.run.Plan.Regions {
		s := fleet.Site{Name: r.Name, Nodes: len(r.Nodes), Init: earlier, Data: w.data(r.Name)}
		if len(r.Nodes) > 1 {
			w.lan = lan.New(w.inside(r.Name))
			s.Reach = w.lan.Reach
		}
		all = append(all, s)
	}
	if w.fleet, err = fleet.StartSites(ctx, w.wan, w.programs.right, all); err != nil {
		return err
	}
	for _, r := range w.fleet.Regions {
		w.sites = append(w.sites, &site{Region: r, world: w})
	}
	return w.fleet.Join(ctx)
}

// data gives the data folders of a region: on the disk of the server if it has one.
func (w *world) data(region string) func(int) string {
	return func(n int) string {
		name := fmt.Sprintf("%s/n%d", region, n+1)
		if d := w.disks[name]; d != nil {
			return filepath.Join(d.Dir, "data")
		}
		return filepath.Join(w.dir, strings.ReplaceAll(name, "/", "-"), "data")
	}
}

// inside opens the sockets of a region's network in its namespace.
func (w *world) inside(name string) lan.Config {
	return lan.Config{
		Listen: func() (l net.Listener, err error) {
			err = w.wan.Inside(name, func() error {
				l, err = net.Listen("tcp", "127.0.0.1:0")
				return err
			})
			return l, err
		},
		Dial: func(ctx context.Context, address string) (net.Conn, error) { return w.wan.Dial(ctx, name, address) },
	}
}

// Close ends everything; nothing of it stays.
func (w *world) Close() {
	if w.fleet != nil {
		w.fleet.Close()
	}
	if w.lan != nil {
		w.lan.Close()
	}
	for _, d := range w.disks {
		if d != nil {
			_ = d.Close()
		}
	}
	if w.wan != nil {
		w.wan.Close()
	}
	_ = os.RemoveAll(w.dir)
}

// Keep keeps data and logs.
func (w *world) Keep(dir string) {
	if w.fleet == nil {
		return
	}
	for _, r := range w.fleet.Regions {
		for i, folder := range r.Folders {
			_ = os.CopyFS(filepath.Join(dir, "data", r.Name+"-"+r.Nodes[i]), os.DirFS(folder))
		}
	}
	_ = os.CopyFS(filepath.Join(dir, "group"), os.DirFS(w.fleet.Group.Dir))
}

func (w *world) find(name string) *site {
	region, _, _ := strings.Cut(name, "/")
	return w.sites[slices.IndexFunc(w.sites, func(s *site) bool { return s.Name == region })]
}

// node is the number of the server that a target names.
func (w *world) node(name string) (*site, int) {
	s := w.find(name)
	_, node, _ := strings.Cut(name, "/")
	return s, max(0, slices.Index(s.Nodes, node))
}
