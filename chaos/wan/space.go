package wan

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	network   = "10.97" // of every site; each has its own, so nothing outside is hidden
	tunName   = "wan0"
	mtu       = 1500
	tunQueue  = 5000 // packets; a burst must not be lost before it is counted
	threadNet = "/proc/thread-self/ns/net"
)

// space is a site as a network namespace.
type space struct {
	ip    string
	ns    int // file descriptor of the namespace
	tun   int // of the device: every packet that leaves the site
	route func(to int, b []byte)

	stop    alarm
	closing atomic.Bool
	ended   sync.WaitGroup
}

// newSpace makes a namespace with loopback and a TUN device. Nothing moves before start.
func newSpace(i int, route func(to int, b []byte)) (*space, error) {
	s := &space{ip: fmt.Sprintf("%s.%d.1", network, i+1), ns: -1, tun: -1, route: route}
	var err error
	if s.stop, err = newAlarm(); err != nil {
		return nil, err
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a new network namespace: %w", err)
		}
		var err error
		if s.ns, err = unix.Open(threadNet, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		return s.devices()
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// onThread runs fn on a thread of its own, which is used again only if it could come back to the namespace it had: a
// child that it started dies with the thread.
func onThread(fn func() error) error {
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open(threadNet, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			failed <- err
			return
		}
		defer unix.Close(home)
		err = fn()
		if back := unix.Setns(home, unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		failed <- err
	}()
	return <-failed
}

func (s *space) inside(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(s.ns, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return fn()
	})
}

// devices sets up loopback and the TUN device of the namespace that the thread is in.
func (s *space) devices() error {
	var err error
	if s.tun, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return err
	}
	request, err := unix.NewIfreq(tunName)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(s.tun, unix.TUNSETIFF, request)
	}
	if err != nil {
		return fmt.Errorf("the TUN device: %w", err)
	}
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(control)
	ip := net.ParseIP(s.ip).To4()
	for _, step := range []struct {
		device  string
		request uint
		set     func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, up},
		{tunName, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip) }},
		{tunName, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 0, 0}) }},
		{tunName, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
		{tunName, unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(tunQueue); return nil }},
		{tunName, unix.SIOCSIFFLAGS, up},
	} {
		r, err := unix.NewIfreq(step.device)
		if err != nil {
			return err
		}
		if err := step.set(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(control, step.request, r); err != nil {
			return fmt.Errorf("device %s, request %#x: %w", step.device, step.request, err)
		}
	}
	return nil
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

// start reads what the site sends, until close.
func (s *space) start() {
	s.ended.Go(func() {
		urgent()
		b := make([]byte, 1<<16)
		for !s.closing.Load() {
			if s.stop.wait(s.tun, time.Hour) && !s.drain(b) {
				return
			}
		}
	})
}

// drain routes what the device holds; false when it will hold nothing any more, so that nobody waits for it in vain, and that at the
// cost of all others.
func (s *space) drain(b []byte) (open bool) {
	for {
		n, err := unix.Read(s.tun, b)
		if err != nil {
			return err == unix.EAGAIN || err == unix.EINTR
		}
		if to, ok := siteOf(b[:n]); ok {
			s.route(to, b[:n])
		}
	}
}

// siteOf gives the site that an IPv4 packet is for.
func siteOf(b []byte) (int, bool) {
	if len(b) < 20 || b[0]>>4 != 4 || b[16] != 10 || b[17] != 97 {
		return 0, false
	}
	return int(b[18]) - 1, true
}

func (s *space) send(b []byte) { _, _ = unix.Write(s.tun, b) } // a packet may be lost

// close ends the site. Nothing is sent to it any more.
func (s *space) close() {
	s.closing.Store(true)
	s.stop.ring()
	s.ended.Wait()
	s.stop.close()
	for _, fd := range []int{s.tun, s.ns} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
