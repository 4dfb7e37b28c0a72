package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// hostFlag is Dragonboat's note of the host and the settings that a log was made with. Without it, it writes a new one.
const hostFlag = "dragonboat.ds"

// adoptHost makes the log in a folder that of this host. Dragonboat keeps its files in a folder of the host's name and
// refuses them elsewhere, but a container has another name each time, and whose the folder is, its identity tells.
func adoptHost(dir, host string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var hosts []string
	for _, e := range entries {
		if e.IsDir() {
			hosts = append(hosts, e.Name())
		}
	}
	if len(hosts) != 1 || hosts[0] == host {
		return nil // nothing there yet, ours, or something for Dragonboat to refuse
	}
	// In this order: interrupted between the two, the next start does the second.
	if err := os.Remove(filepath.Join(dir, hostFlag)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(filepath.Join(dir, hosts[0]), filepath.Join(dir, host)); err != nil {
		return err
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
