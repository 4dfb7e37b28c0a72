package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
	"supercluster/region/backup"
	"supercluster/region/state"
)

// unfinished ends the name of a backup that is being written.
const unfinished = ".partial"

// backupCommand is the group of the backup verbs; the composition root adds `restore`, which needs no server.
func (a *App) backupCommand() *cobra.Command {
	c := group("backup", "Back up a region to a folder, check backups, and restore one",
		"  supercluster backup create --out /backups\n  supercluster backup verify /backups",
		a.backupCreateCommand(), a.backupListCommand(), a.backupVerifyCommand())
	return c
}

// backupText is what is printed of a backup.
type backupText struct {
	File   string         `json:"file"`
	Size   int64          `json:"size"`
	Backup *backup.Header `json:"backup,omitempty"`
	Rows   uint64         `json:"rows"`
	Bytes  uint64         `json:"bytes"`
	Hash   string         `json:"state_hash,omitempty"`
	// ContentHash is that of every node of a region that begins with the backup; known when all of it was read.
	ContentHash string `json:"content_hash,omitempty"`
	// State is `verified`, `whole` (it has its end; not checked), or what is wrong.
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}

func (b *backupText) finish(t *backup.Trailer) {
	b.Rows, b.Bytes, b.Hash = t.Rows, t.Bytes, hex.EncodeToString(t.Hash[:])
}

func (a *App) backupCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create --out FOLDER", Short: "Make a backup of the region: all of its state at one revision",
		Long: `Make a backup of the region: all of its state at one revision, which covers every write acknowledged before. The server goes on
meanwhile. The file gets its name when it is whole and on disk; its blocks are checked while it is written.

The private keys of ` + "`region init`" + ` are not in it, and a restore needs them: keep a copy of that folder elsewhere.`,
		Example: "  supercluster backup create --out /backups\n  supercluster backup create --out /backups -o json", Args: args(0, 0),
	}
	out := cmd.Flags().String("out", "", "folder for the file; it is made when there is none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *out == "" {
			return fault.Field("--out", "is missing: name a folder for the backup")
		}
		return a.connect(func(c *client) error {
			made, err := a.createBackup(cmd.Context(), c, *out)
			if err != nil {
				return err
			}
			var t table
			backupTable(&t, made)
			return a.printPlain(made, &t)
		})
	}
	return cmd
}

// createBackup writes a backup under a name that says that it is not finished, and gives it its name at the end.
func (a *App) createBackup(ctx context.Context, c *client, dir string) (made backupText, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The folder comes first: the server begins at once when it is asked, and pins its state.
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return made, outFault(dir, err)
	}
	file, err := os.CreateTemp(dir, "backup-*"+unfinished)
	if err != nil {
		return made, outFault(dir, err)
	}
	defer func() {
		file.Close()
		if err != nil {
			_ = os.Remove(file.Name()) // the first error says more
			if missing != nil {
				_ = os.Remove(dir) // made here, and empty but for what others put into it
			}
		}
	}()
	stream, err := c.cluster.Backup(ctx, &pb.BackupRequest{})
	if err != nil {
		return made, err
	}
	out := &backupFile{file: file}
	content, in, err := a.receive(io.TeeReader(&chunkReader{stream: stream}, out))
	if out.err != nil {
		return made, out.err
	}
	if err != nil {
		return made, err
	}
	if made, err = a.nameBackup(file, dir, in); err != nil {
		return made, backupFault(dir, err)
	}
	made.ContentHash = hex.EncodeToString(content[:])
	return made, nil
}

// receive reads a backup to its end and checks it.
func (a *App) receive(from io.Reader) (content [32]byte, in *backup.Reader, err error) {
	if in, err = backup.NewReader(from); err != nil {
		return content, nil, err
	}
	defer in.Close()
	content, err = a.checkRows(in)
	return content, in, err
}

// nameBackup makes a backup durable and gives it its name.
func (a *App) nameBackup(file *os.File, dir string, in *backup.Reader) (made backupText, err error) {
	h := &in.Header
	name := fmt.Sprintf("%s-%s-r%d%s", h.Region, h.Time.UTC().Format("20060102T150405.000Z"), h.Revision, backup.Suffix)
	path := filepath.Join(dir, name)
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return made, err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return made, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return made, err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return made, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return made, err
	}
	made = backupText{File: path, Size: info.Size(), Backup: h, State: "whole"}
	made.finish(&in.Trailer)
	return made, nil
}

// checkRows reads a backup to its end, compares the hash of its state, and gives that of its content.
func (a *App) checkRows(in *backup.Reader) (content [32]byte, err error) {
	rows, bytes, h, c := uint64(0), uint64(0), state.NewHasher(), state.NewContentHasher()
	p := a.progress()
	if err := state.ReadSnapshot(in, func(key, value []byte) error {
		rows, bytes = rows+1, bytes+uint64(len(key)+len(value))
		p.tell(rows, bytes)
		return errors.Join(h.Add(key, value), c.Add(key, value))
	}); err != nil {
		return content, err
	}
	var one [1]byte
	if n, err := in.Read(one[:]); n > 0 || !errors.Is(err, io.EOF) {
		return content, errors.Join(fault.New(fault.Corrupt, "the backup does not end where its state does"), err)
	}
	if rows != in.Trailer.Rows || h.Sum() != in.Trailer.Hash {
		return content, fault.New(fault.Corrupt, "the state that arrived has %d rows and the hash %x, not %d and %x", rows, h.Sum(), in.Trailer.Rows, in.Trailer.Hash).
			WithHint("make the backup again")
	}
	return c.Sum(), nil
}

// chunkReader reads the stream of a backup.
type chunkReader struct {
	stream grpc.ServerStreamingClient[pb.BackupResponse]
	rest   []byte
}

// Read gives a part of the backup.
func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		msg, err := c.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, status.FromGRPC(err)
		}
		c.rest = msg.GetData()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// backupFile writes a file, and keeps a failure with what it means: who reads through it wraps that.
type backupFile struct {
	file *os.File
	err  error
}

// Write writes a part of the backup.
func (f *backupFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	if err != nil {
		f.err = backupFault(filepath.Dir(f.file.Name()), err)
	}
	return n, f.err
}

// progress tells on the error output how far long work is, once a second.
type progress struct {
	app  *App
	last time.Time
}

func (a *App) progress() *progress { return &progress{app: a, last: time.Now()} }

func (p *progress) tell(rows, bytes uint64) {
	if rows%1024 != 0 || time.Since(p.last) < time.Second {
		return
	}
	p.last = time.Now()
	fmt.Fprintf(p.app.Err, "%d rows, %s\n", rows, sizeText(bytes))
}

func sizeText(n uint64) string {
	const mega = 1 << 20
	if n < mega {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/mega)
}

func backupTable(t *table, b backupText) {
	t.add("file", b.File)
	if h := b.Backup; h != nil {
		t.add("region", fmt.Sprintf("%s (%s), incarnation %d", h.Region, h.RegionID, h.Incarnation))
		t.add("revision", fmt.Sprintf("%d (system %d, compacted %d)", h.Revision, h.SystemRevision, h.CompactedRevision))
		t.add("made", fmt.Sprintf("%s on node %s, version %s", h.Time.Format(time.RFC3339), h.Node, h.Version))
	}
	t.add("rows, bytes", fmt.Sprintf("%d, %s in a file of %s", b.Rows, sizeText(b.Bytes), sizeText(uint64(b.Size))))
	t.add("state hash", orDash(b.Hash))
	t.add("content hash", orDash(b.ContentHash))
	t.add("state", strings.TrimSuffix(b.State+": "+b.Error, ": "))
}
