package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The requests to ext4 that x/sys does not name, and the flag of a shutdown that loses the journal, too.
const (
	shutdownRequest = 0x8004587d
	noLogFlush      = 2
	freezeRequest   = 0xc0045877
	thawRequest     = 0xc0045878
)

const (
	probeName   = "probe"
	ballastName = "ballast"
	unmountFor  = 10 * time.Second
)

// Disk is one mounted file system.
type Disk struct {
	Dir   string // where it is mounted
	image string
}

// Unavailable says why this process can not have such disks; nil: it can.
func Unavailable() error {
	if os.Geteuid() != 0 {
		return errors.New("disks of their own need root")
	}
	for _, program := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("there are no loop devices: %w", err)
	}
	return nil
}

// New makes a disk of a size in bytes, its file and its mount below a folder.
func New(dir string, size int64) (*Disk, error) {
	d := &Disk{Dir: filepath.Join(dir, "mounted"), image: filepath.Join(dir, "image")}
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Truncate(size), file.Close()); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", d.image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

func (d *Disk) mount() error { return command("mount", "-o", "loop", d.image, d.Dir) }

// unmount waits for the last files to be closed: a process that was killed takes a moment to end.
func (d *Disk) unmount() error {
	for deadline := time.Now().Add(unmountFor); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Unmount(d.Dir, 0)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// request is an ioctl on the root of the file system, with a number or none.
func (d *Disk) request(what uint, number uint32) error {
	root, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return unix.IoctlSetPointerInt(int(root.Fd()), what, int(number))
}

// PowerLoss cuts the power: from now on everything fails until Remount.
func (d *Disk) PowerLoss() (evidence string, err error) {
	if err := d.request(shutdownRequest, noLogFlush); err != nil {
		return "", fmt.Errorf("the power could not be cut: %w", err)
	}
	err = os.WriteFile(filepath.Join(d.Dir, probeName), []byte("x"), 0o600)
	if !errors.Is(err, syscall.EIO) {
		return "", fmt.Errorf("after the power loss a write ended with %v", err)
	}
	return fmt.Sprintf("a write failed: %v", err), nil
}

// Remount brings the disk back as the power loss left it. Whoever used it must have ended.
func (d *Disk) Remount() error {
	if err := d.unmount(); err != nil {
		return fmt.Errorf("the disk is still in use: %w", err)
	}
	return d.mount()
}

// Stall lets nothing be written for a while.
func (d *Disk) Stall(during time.Duration) (evidence string, err error) {
	if err := d.request(freezeRequest, 0); err != nil {
		return "", fmt.Errorf("the disk could not be stalled: %w", err)
	}
	took := make(chan time.Duration, 1)
	begin := time.Now()
	go func() {
		_ = os.WriteFile(filepath.Join(d.Dir, probeName), []byte("x"), 0o600)
		took <- time.Since(begin)
	}()
	time.Sleep(during)
	if err := d.request(thawRequest, 0); err != nil {
		return "", fmt.Errorf("the disk could not be let go: %w", err)
	}
	blocked := <-took
	if blocked < during {
		return "", fmt.Errorf("a write took %v on a disk that was stalled for %v", blocked, during)
	}
	return fmt.Sprintf("a write took %v", blocked.Round(time.Millisecond)), nil
}

// Fill leaves so many bytes of room, or none.
func (d *Disk) Fill(leave uint64) (evidence string, err error) {
	var usage unix.Statfs_t
	if err := unix.Statfs(d.Dir, &usage); err != nil {
		return "", err
	}
	free := usage.Bavail * uint64(usage.Bsize)
	if free <= leave {
		return "", fmt.Errorf("%d bytes are free already", free)
	}
	file, err := os.Create(filepath.Join(d.Dir, ballastName))
	if err != nil {
		return "", err
	}
	err = unix.Fallocate(int(file.Fd()), 0, 0, int64(free-leave))
	if err := errors.Join(err, file.Close()); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return "", err
	}
	if err := unix.Statfs(d.Dir, &usage); err != nil {
		return "", err
	}
	now := usage.Bavail * uint64(usage.Bsize)
	if now > leave+leave/8+1<<20 {
		return "", fmt.Errorf("%d bytes are free, not %d", now, leave)
	}
	return fmt.Sprintf("%d bytes are free, %d before", now, free), nil
}

// Empty gives the room of Fill back.
func (d *Disk) Empty() error { return os.Remove(filepath.Join(d.Dir, ballastName)) }

// Close unmounts the disk and removes its file.
func (d *Disk) Close() error {
	_ = d.request(thawRequest, 0) // it is not frozen, mostly
	err := d.unmount()
	if err != nil {
		err = unix.Unmount(d.Dir, unix.MNT_DETACH)
	}
	return errors.Join(err, os.Remove(d.image))
}
