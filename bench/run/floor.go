package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"supercluster/bench/measure"
	"supercluster/internal/procs"
)

// Names of floors.
const (
	echoFloor  = "gRPC echo"
	pathFloor  = "gRPC echo + fsync"
	startFloor = "gRPC echo server"
)

// startEcho starts a server that answers every call at once.
func startEcho(group *procs.Group, opt options) (side, error) {
	port, err := procs.FreePorts(1)
	if err != nil {
		return side{}, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port[0])
	if _, err := group.Start("echo", filepath.Join(opt.peers, "echo"), "-listen", address); err != nil {
		return side{}, err
	}
	echo, err := ourSide(address)
	echo.name = echoFloor
	return echo, err
}

// floors are the medians of what any control plane takes here, in milliseconds.
type floors struct {
	echo float64 // a call and its answer
	path float64 // a call that is written durably before its answer
}

// measureFloors measures them with nothing else running.
func measureFloors(ctx context.Context, opt options) (floors, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return floors{}, err
	}
	defer group.Close()
	echo, err := startEcho(group, opt)
	if err != nil {
		return floors{}, err
	}
	if err := answers(ctx, &echo); err != nil {
		return floors{}, err
	}
	x := echo.load(ctx, &echo.put, 1, time.Second, func() int { return 0 })
	if x.Errors > 0 {
		return floors{}, fmt.Errorf("%s: %w", echo.name, x.LastError)
	}
	sync, err := measure.Fsync(group.Dir, 500)
	return floors{echo: ms(x.P50), path: ms(x.P50 + sync)}, err
}

// answers waits until a server answers one call.
func answers(ctx context.Context, s *side) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return procs.WaitUntil(ctx, s.name, func(ctx context.Context) bool {
		next := []int{0, keys} // there is no key after the first
		one := func() (key int) { key, next = next[0], next[1:]; return key }
		return s.load(ctx, &s.put, 1, time.Second, one).Errors == 0
	})
}

// echoStart gives the time from the start of a server that does nothing to its first answer, in milliseconds.
func echoStart(ctx context.Context, opt options) (float64, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return 0, err
	}
	defer group.Close()
	begin := time.Now()
	echo, err := startEcho(group, opt)
	if err != nil {
		return 0, err
	}
	err = answers(ctx, &echo)
	return ms(time.Since(begin)), err
}
