package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"supercluster/internal/fault"
)

// What is in a data folder.
const (
	identityName = "identity.json"
	lockName     = "LOCK"
	raftName     = "raft"
	// keysName is a folder that is none of ours: `supercluster dev` keeps the keys of its region there.
	keysName  = "identity"
	stateName = "state"

	// folderFormat is the layout of the folder; another one is refused.
	folderFormat = 1

	probeTimeout = time.Second
)

// FolderConfig says which folder to take for which node.
type FolderConfig struct {
	Dir     string
	Region  string
	Node    string
	Members []string
	// RegionID is the id that the region must have; 0 when the configuration does not say it.
	RegionID [16]byte
	// Bootstrap allows the first start on an empty folder, and refuses a used one. Dev allows it and refuses nothing.
	Bootstrap bool
	Dev       bool
	// Knows asks a member whether the region exists and has seen this node before.
	Knows func(ctx context.Context, member string) (bool, error)
}

// identity is what identity.json holds.
type identity struct {
	Format  int    `json:"format"`
	Region  string `json:"region"`
	Node    string `json:"node"`
	Replica uint64 `json:"replica"`
	// Boot counts the starts.
	Boot uint64 `json:"boot"`
	// Members are those of the first start, with their replica ids.
	Members map[string]uint64 `json:"members"`
	// RegionID is empty until the region has one.
	RegionID string `json:"region_id,omitempty"`
	// Started: the Raft log exists. From then on, losing it is losing votes that were given.
	Started bool `json:"started,omitempty"`
	// Restored is the entry at which the log of a restored region begins; 0: the region was not restored.
	Restored uint64 `json:"restored,omitempty"`
	// Checksum is over all of the above; folders of before it was written have none.
	Checksum string `json:"crc32c,omitempty"`
}

// sum is the checksum of an identity: a boot or a replica number that changed on disk would make this node another.
func (id identity) sum() (string, error) {
	id.Checksum = ""
	data, err := json.Marshal(id)
	return fmt.Sprintf("%08x", crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), err
}

// Folder is a data folder that this process holds.
type Folder struct {
	dir  string
	lock *os.File

	mu sync.Mutex
	id identity
}

// OpenFolder takes a data folder: it locks it, checks whose it is and counts the start. An empty one is taken only
// for a first start that was asked for, and that no member contradicts.
func OpenFolder(ctx context.Context, cfg FolderConfig) (*Folder, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, folderFault(cfg.Dir, err)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir: cfg.Dir, lock: lock}
	if err := f.open(ctx, cfg); err != nil {
		lock.Close()
		return nil, err
	}
	return f, nil
}

func (f *Folder) open(ctx context.Context, cfg FolderConfig) error {
	data, err := os.ReadFile(filepath.Join(f.dir, identityName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := f.mayBegin(ctx, cfg); err != nil {
			return err
		}
		f.id = identity{Format: folderFormat, Region: cfg.Region, Node: cfg.Node, Members: replicaIDs(cfg.Members)}
		f.id.Replica = f.id.Members[cfg.Node]
	case err != nil:
		return folderFault(f.dir, err)
	default:
		if f.id, err = parseIdentity(f.dir, data); err != nil {
			return err
		}
		if err := f.belongs(cfg); err != nil {
			return err
		}
		if err := f.dropRestore(); err != nil {
			return err
		}
		if f.id.Restored > 0 && f.id.Boot == restoreBoot {
			if err := f.askMembers(ctx, cfg); err != nil {
				return err
			}
		}
	}
	f.id.Boot++
	return f.save()
}

func parseIdentity(dir string, data []byte) (identity, error) {
	var id identity
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&id); err != nil {
		return id, fault.Wrap(fault.Corrupt, err, "%s in data folder %s does not parse", identityName, dir).
			WithHint("restore the file; without it the node must not vote again")
	}
	if id.Format != folderFormat {
		return id, fault.New(fault.Unsupported, "data folder %s has format %d, this version knows %d", dir, id.Format, folderFormat).
			WithHint("start the version that wrote it")
	}
	sum, err := id.sum()
	if err != nil || id.Checksum != "" && id.Checksum != sum {
		return id, fault.New(fault.Corrupt, "%s in data folder %s is damaged", identityName, dir).WithHint(replaceHint)
	}
	raw, err := hex.DecodeString(id.RegionID)
	if err != nil || len(raw) != 0 && len(raw) != 16 || id.Replica == 0 || id.Boot == 0 {
		return id, fault.New(fault.Corrupt, "%s in data folder %s is damaged", identityName, dir).WithHint(replaceHint)
	}
	return id, nil
}

// belongs refuses the folder of another node or region, and one whose contents were lost.
func (f *Folder) belongs(cfg FolderConfig) error {
	id := f.id
	names := slices.Sorted(slices.Values(cfg.Members))
	switch {
	case id.Region != cfg.Region:
		return fault.New(fault.Conflict, "data folder %s belongs to region %q, not %q", f.dir, id.Region, cfg.Region).
			WithHint("set region: %s, or another data-dir", id.Region)
	case id.Node != cfg.Node:
		return fault.New(fault.Conflict, "data folder %s belongs to node %q, not %q", f.dir, id.Node, cfg.Node).
			WithHint("set node: %s, or another data-dir", id.Node)
	case !slices.Equal(names, slices.Sorted(maps.Keys(id.Members))):
		return fault.New(fault.Conflict, "the region was made with other members: %v", slices.Sorted(maps.Keys(id.Members))).
			WithHint("members can not be changed by the configuration yet; addresses can")
	case id.RegionID != "" && cfg.RegionID != [16]byte{} && id.RegionID != hex.EncodeToString(cfg.RegionID[:]):
		return fault.New(fault.Conflict, "data folder %s belongs to region id %s, and the identity is that of %x", f.dir, id.RegionID, cfg.RegionID).
			WithHint("name the identity files of region %s, or another data-dir", id.RegionID)
	case cfg.Bootstrap && !cfg.Dev:
		return fault.New(fault.Conflict, "data folder %s is in use by node %q since its first start", f.dir, id.Node).
			WithHint("--bootstrap is for the first start only: start without it")
	}
	if !id.Started {
		return nil
	}
	for _, name := range []string{raftName, stateName} {
		if _, err := os.Stat(filepath.Join(f.dir, name)); err != nil {
			return fault.Wrap(fault.Corrupt, err, "data folder %s has lost its %s folder", f.dir, name).
				WithHint("a node that forgot what it promised must not vote: restore the folder")
		}
	}
	return nil
}

// mayBegin says whether an empty folder may become that of a node: a node that lost its disk must not come back as
// if it had never voted.
func (f *Folder) mayBegin(ctx context.Context, cfg FolderConfig) error {
	if err := unused(f.dir); err != nil {
		return err
	}
	if !cfg.Bootstrap && !cfg.Dev {
		return fault.New(fault.Conflict, "data folder %s is empty", f.dir).
			WithHint("first start of a new region: add --bootstrap on every node, once; if this node had data before, " +
				"its disk is lost: restore it, do not bootstrap")
	}
	return f.askMembers(ctx, cfg)
}

// unused refuses a folder that holds what no node put there, and one whose restore did not end.
func unused(dir string) error {
	if restoreUnfinished(dir) {
		return unfinishedFault(dir)
	}
	return holdsOnly(dir)
}

// holdsOnly refuses a folder that holds more than what is in any, and some names.
func holdsOnly(dir string, names ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return folderFault(dir, err)
	}
	names = append(names, lockName, keysName, "lost+found")
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			return fault.New(fault.Conflict, "data folder %s holds %q but no %s: it is not a node's", dir, e.Name(), identityName).
				WithHint("set data-dir to an empty folder, or restore %s", identityName)
		}
	}
	return nil
}

// StoredRegionID gives the id of the region whose data a folder holds; 0 when there is no folder, an empty one, or
// one whose node never learned it. Somebody else's folder is refused. It takes no lock and changes nothing.
func StoredRegionID(dir string) (id [16]byte, err error) {
	data, err := os.ReadFile(filepath.Join(dir, identityName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return id, nil
		}
		return id, unused(dir)
	}
	if err != nil {
		return id, folderFault(dir, err)
	}
	stored, err := parseIdentity(dir, data)
	if err != nil {
		return id, err
	}
	_, _ = hex.Decode(id[:], []byte(stored.RegionID)) // parseIdentity checked it
	return id, nil
}

func (f *Folder) askMembers(ctx context.Context, cfg FolderConfig) error {
	if cfg.Knows == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var asked sync.WaitGroup
	answers := make([]string, len(cfg.Members))
	for i, member := range cfg.Members {
		if member == cfg.Node {
			continue
		}
		asked.Go(func() {
			if known, err := cfg.Knows(ctx, member); err == nil && known {
				answers[i] = member
			}
		})
	}
	asked.Wait()
	for _, member := range answers {
		if member != "" {
			return fault.New(fault.Conflict, "node %q answers that region %q exists and knows node %q", member, cfg.Region, cfg.Node).
				WithHint("this node's disk was lost, or it was restored from a backup a second time while the others went on: bring its data folder " +
					"back; what it had acknowledged must not be forgotten")
		}
	}
	return nil
}

// replicaIDs numbers the members by name.
func replicaIDs(members []string) map[string]uint64 {
	ids := make(map[string]uint64, len(members))
	for i, name := range slices.Sorted(slices.Values(members)) {
		ids[name] = uint64(i + 1)
	}
	return ids
}

// save replaces identity.json and makes that durable.
func (f *Folder) save() error {
	sum, err := f.id.sum()
	f.id.Checksum = sum
	data, marshal := json.MarshalIndent(f.id, "", "  ")
	if err = errors.Join(err, marshal); err != nil {
		return fault.Wrap(fault.Internal, err, "the identity can not be encoded")
	}
	if err := writeDurably(f.dir, identityName, append(data, '\n')); err != nil {
		return folderFault(f.dir, err)
	}
	return nil
}

// writeDurably replaces a file: after it returns, the new content survives a power loss; before, the old one does.
func writeDurably(dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// Replica is the number of this node in the Raft group; Boot that of this start.
func (f *Folder) Replica() uint64 { return f.id.Replica }

// Boot is the number of this start of the node; no other start ever had it.
func (f *Folder) Boot() uint64 { return f.id.Boot }

// Members are the replica ids of all members.
func (f *Folder) Members() map[string]uint64 { return maps.Clone(f.id.Members) }

// JustRestored: this is the first start since the region was restored.
func (f *Folder) JustRestored() bool { return f.id.Restored > 0 && f.id.Boot == restoreBoot+1 }

// Restored is the entry at which the log of a restored region begins; 0: the region was not restored.
func (f *Folder) Restored() uint64 { return f.id.Restored }

// RaftDir and StateDir are where the log and the state are.
func (f *Folder) RaftDir() string { return filepath.Join(f.dir, raftName) }

// StateDir is where the state is.
func (f *Folder) StateDir() string { return filepath.Join(f.dir, stateName) }

// RegionID is the id of the region; false while this node has not learned it.
func (f *Folder) RegionID() (id [16]byte, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _ := hex.Decode(id[:], []byte(f.id.RegionID))
	return id, n == len(id)
}

// SetRegionID keeps the id of the region. Another one than before means that the folder was mixed up.
func (f *Folder) SetRegionID(id [16]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := hex.EncodeToString(id[:])
	switch f.id.RegionID {
	case text:
		return nil
	case "":
		f.id.RegionID = text
		return f.save()
	default:
		return fault.New(fault.Corrupt, "data folder %s belongs to region id %s, but its log is that of %s", f.dir, f.id.RegionID, text)
	}
}

// begun notes that the Raft log exists.
func (f *Folder) begun() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.id.Started {
		return nil
	}
	f.id.Started = true
	return f.save()
}

// Close gives the folder back.
func (f *Folder) Close() error { return f.lock.Close() }
