package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"supercluster/internal/fault"
	"supercluster/region"
	"supercluster/region/backup"
)

func (a *App) backupListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls FOLDER", Short: "List the backups of a folder, without checking what is in them",
		Example: "  supercluster backup ls /backups\n  supercluster backup ls /backups -o json", Args: args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := listBackups(args[0])
			if err != nil {
				return err
			}
			t := table{header: []string{"FILE", "REGION", "INCARNATION", "REVISION", "TIME", "SIZE", "STATE"}}
			for _, b := range all {
				h := b.Backup
				if h == nil {
					t.add(filepath.Base(b.File), "-", "-", "-", "-", sizeText(uint64(b.Size)), b.State)
					continue
				}
				t.add(filepath.Base(b.File), h.Region, fmt.Sprint(h.Incarnation), fmt.Sprint(h.Revision),
					h.Time.Format("2006-01-02T15:04:05Z"), sizeText(uint64(b.Size)), b.State)
			}
			return a.printPlain(all, &t)
		},
	}
}

// listBackups looks at every file of a folder, in the order of their names.
func listBackups(dir string) ([]backupText, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, backupFault(dir, err)
	}
	all := []backupText{}
	for _, e := range entries {
		if e.Type().IsRegular() {
			all = append(all, lookAt(filepath.Join(dir, e.Name())))
		}
	}
	return all, nil
}

// lookAt reads the two ends of a file.
func lookAt(path string) backupText {
	b := backupText{File: path, State: "damaged"}
	err := func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		b.Size = info.Size()
		h, err := backup.ReadHeader(f)
		if err != nil {
			return err
		}
		b.Backup = &h
		t, err := backup.ReadTrailer(f, b.Size)
		if err != nil {
			return err
		}
		b.finish(&t)
		return nil
	}()
	switch {
	case strings.HasSuffix(path, unfinished):
		b.State = "unfinished"
	case err == nil:
		b.State = "whole"
	case fault.Is(err, fault.Invalid):
		b.State = "no backup"
	case fault.Is(err, fault.Unsupported):
		b.State = "of a newer version"
	}
	if err != nil {
		b.Error = errorText(err)
	}
	return b
}

func (a *App) backupVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE|FOLDER...", Short: "Check backups: every block, and the state that a restore would have",
		Long: `Check backups: every block against its checksum and the whole against its digest, then restore into a store that is thrown
away, and compare the hash of the state there. It needs room for the state in the folder for temporary files (TMPDIR).

Of a folder every file is checked that ends in ` + backup.Suffix + `. It fails when one is damaged, and when there is none.`,
		Example: "  supercluster backup verify /backups\n  supercluster backup verify /backups/dc1-20261128T020000.000Z-r1200" + backup.Suffix, Args: args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := backupFiles(args)
			if err != nil {
				return err
			}
			var all []backupText
			var wrong error
			for i, path := range files {
				fmt.Fprintf(a.Err, "checking %s (%d of %d)\n", path, i+1, len(files))
				b, err := verifyBackup(cmd.Context(), path)
				if cmd.Context().Err() != nil {
					return cmd.Context().Err()
				}
				all = append(all, b)
				if err != nil {
					wrong = errors.Join(wrong, fmt.Errorf("%s: %w", path, err))
				}
			}
			t := table{}
			for _, b := range all {
				backupTable(&t, b)
			}
			return errors.Join(a.printPlain(all, &t), wrong)
		},
	}
}

// backupFiles lists the files that arguments name.
func backupFiles(paths []string) (files []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fault.New(fault.NotFound, "there is no %s", path).
				WithHint("name a backup, or a folder with backups; `supercluster backup ls FOLDER` lists those of a folder")
		case err != nil:
			return nil, backupFault(path, err)
		case !info.IsDir():
			files = append(files, path)
			continue
		}
		in, err := filepath.Glob(filepath.Join(path, "*"+backup.Suffix))
		if err != nil {
			return nil, backupFault(path, err)
		}
		if len(in) == 0 {
			return nil, fault.New(fault.NotFound, "there is no backup in %s: no file there ends in %s", path, backup.Suffix).
				WithHint("name the folder that was given to `supercluster backup create --out`")
		}
		files = append(files, in...)
	}
	return files, nil
}

func verifyBackup(ctx context.Context, path string) (b backupText, err error) {
	b = lookAt(path)
	defer func() {
		if b.State, b.Error = "verified", ""; err != nil {
			b.State, b.Error = "damaged", errorText(err)
		}
	}()
	file, err := region.OpenBackup(path)
	if err != nil {
		return b, err
	}
	defer file.Close()
	dir, err := os.MkdirTemp("", "supercluster-verify-")
	if err != nil {
		return b, backupFault(os.TempDir(), err)
	}
	content, err := region.VerifyBackup(ctx, file, dir)
	if removed := os.RemoveAll(dir); err == nil && removed != nil {
		err = backupFault(dir, removed)
	}
	if err == nil {
		b.Backup = &content.Header
		b.finish(&content.Trailer)
		b.ContentHash = hex.EncodeToString(content.ContentHash[:])
	}
	return b, err
}

// backupFault says what is wrong with the folder or disk of backups. A folder that cannot be what it is used for is bad
// input; what a disk or a file system does otherwise may pass.
func backupFault(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(fault.Exhausted, err, "the disk of %s is full: what was written of the backup was removed", dir).
			WithHint("make room, or name a folder on another disk")
	}
	kind := fault.Unavailable
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = fault.NotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS),
		errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		kind = fault.Invalid
	}
	return fault.Wrap(kind, err, "the folder %s cannot be used for backups", dir).
		WithHint("name a folder that exists or can be made, and that this user may read and write")
}

// outFault is backupFault for the folder that a backup is to go to: that it can not be made is bad input, too.
func outFault(dir string, err error) error {
	e := backupFault(dir, err)
	if f, ok := fault.As(e); ok && f.Kind == fault.NotFound {
		f.Kind = fault.Invalid
	}
	return e
}
