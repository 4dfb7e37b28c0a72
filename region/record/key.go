package record

import (
	"bytes"
	"encoding/binary"

	"supercluster/internal/fault"
)

// Space is the first byte of every row's key. Numbers are stored: never reused.
type Space = byte

// The spaces. Those marked reserved have their number and nothing else yet.
const (
	SpaceMeta         Space = 1  // the head row, the region's identity, orphans to purge
	SpaceVersions     Space = 2  // every version of every record; the newest is the current one
	SpaceTransactions Space = 3  // one row for each revision
	SpaceLeases       Space = 4  // reserved
	SpaceLeaseKeys    Space = 5  // reserved
	SpaceRequests     Space = 6  // request ids, per tenant
	SpaceWindows      Space = 7  // the last groups of each proposer
	SpaceCounters     Space = 8  // keys and bytes of tenants and namespaces
	SpaceFeedLog      Space = 9  // the records of each channel, own and imported, by sequence
	SpaceExported     Space = 10 // what each own channel carries now
	SpaceCursors      Space = 11 // where each channel stands
	SpaceOrigins      Space = 12 // what each imported channel carries now, as it came
	SpaceResync       Space = 13 // snapshots that are being taken over
	SpaceAlarms       Space = 14
	SpaceHolds        Space = 15 // reserved: what holds purge back
	SpaceDeleted      Space = 16 // deleted config records whose history is kept, by tenant and age
	SpaceRegions      Space = 17 // regions, their aliases, links of tenants, and what is shown of them
	SpaceFederated    Space = 18 // federated namespaces and their placements

	// SpaceLocal and above are a node's own notes: in no snapshot and no hash, and never touched by Apply.
	SpaceLocal Space = 0xf0
)

// Name escaping: 00 becomes 00 FF, and 00 01 ends the name. So the order of encoded names is that of the names, and
// no encoded name is the beginning of another.
const (
	escapeByte     = 0x00
	escapedZero    = 0xff
	terminatorByte = 0x01
)

const (
	keyHeaderSize  = 4 + 4 + 4 + 2 + 4
	revisionSize   = 8
	terminatorSize = 2
)

// AppendKey appends a key in its ordered form: shard, tenant, namespace, kind, scope, escaped name, end of name.
func AppendKey(dst []byte, k Key) []byte {
	dst = appendKeyHeader(dst, k.Shard, k.Tenant, k.Namespace, k.Kind, k.Scope)
	return append(appendEscaped(dst, k.Name), escapeByte, terminatorByte)
}

func appendKeyHeader(dst []byte, shard, tenant, namespace uint32, kind Kind, scope uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, shard)
	dst = binary.BigEndian.AppendUint32(dst, tenant)
	dst = binary.BigEndian.AppendUint32(dst, namespace)
	dst = binary.BigEndian.AppendUint16(dst, uint16(kind))
	return binary.BigEndian.AppendUint32(dst, scope)
}

func appendEscaped(dst []byte, name string) []byte {
	start := 0
	for i := 0; i < len(name); i++ {
		if name[i] == escapeByte {
			dst = append(append(dst, name[start:i+1]...), escapedZero)
			start = i + 1
		}
	}
	return append(dst, name[start:]...)
}

// DecodeKey reads a key in its ordered form from the front of b and gives what follows it.
func DecodeKey(b []byte) (k Key, rest []byte, err error) {
	if len(b) < keyHeaderSize+terminatorSize {
		return Key{}, nil, errCorrupt("a key of %d bytes is too short", len(b))
	}
	k = Key{
		Shard:     binary.BigEndian.Uint32(b),
		Tenant:    binary.BigEndian.Uint32(b[4:]),
		Namespace: binary.BigEndian.Uint32(b[8:]),
		Kind:      Kind(binary.BigEndian.Uint16(b[12:])),
		Scope:     binary.BigEndian.Uint32(b[14:]),
	}
	k.Name, rest, err = decodeName(b[keyHeaderSize:])
	return k, rest, err
}

func decodeName(b []byte) (name string, rest []byte, err error) {
	i := bytes.IndexByte(b, escapeByte)
	if i < 0 || i+1 >= len(b) {
		return "", nil, errCorrupt("a name in a key has no end")
	}
	if b[i+1] == terminatorByte {
		return string(b[:i]), b[i+2:], nil // the common case: no NUL in the name
	}
	var plain []byte
	for {
		if b[i+1] == terminatorByte {
			plain = append(plain, b[:i]...)
			return string(plain), b[i+2:], nil
		}
		if b[i+1] != escapedZero {
			return "", nil, errCorrupt("byte %#02x after 00 in a name", b[i+1])
		}
		plain = append(plain, b[:i+1]...)
		b = b[i+2:]
		if i = bytes.IndexByte(b, escapeByte); i < 0 || i+1 >= len(b) {
			return "", nil, errCorrupt("a name in a key has no end")
		}
	}
}

// AppendVersionKey appends the key of one version of a record. Newer versions come first.
func AppendVersionKey(dst []byte, k Key, revision uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendKey(append(dst, SpaceVersions), k), ^revision)
}

// AppendVersionPrefix appends what the keys of all versions of a record begin with.
func AppendVersionPrefix(dst []byte, k Key) []byte {
	return AppendKey(append(dst, SpaceVersions), k)
}

// DecodeVersionKey reads the key of a version row.
func DecodeVersionKey(b []byte) (k Key, revision uint64, err error) {
	if len(b) == 0 || b[0] != SpaceVersions {
		return Key{}, 0, errCorrupt("not the key of a version")
	}
	k, rest, err := DecodeKey(b[1:])
	if err != nil {
		return Key{}, 0, err
	}
	if len(rest) != revisionSize {
		return Key{}, 0, errCorrupt("a version key ends with %d bytes for the revision", len(rest))
	}
	return k, ^binary.BigEndian.Uint64(rest), nil
}

// Split gives the length of a row key without its version suffix: in the version space up to the end of the name,
// elsewhere the whole key. It is total, for Pebble also asks about bounds that are not keys.
func Split(key []byte) int {
	const start = 1 + keyHeaderSize
	if len(key) < start+terminatorSize || key[0] != SpaceVersions {
		return len(key)
	}
	for at := start; ; {
		i := bytes.IndexByte(key[at:], escapeByte)
		if i < 0 || at+i+1 >= len(key) {
			return len(key)
		}
		at += i + 2
		if key[at-1] == terminatorByte {
			return at
		}
	}
}

// RangeBounds gives the row keys [from, to) that hold every version of the records of a range.
func RangeBounds(r Range) (from, to []byte) {
	header := appendKeyHeader([]byte{SpaceVersions}, r.Shard, r.Tenant, r.Namespace, r.Kind, r.Scope)
	from = appendEscaped(append([]byte(nil), header...), r.From)
	if r.To == "" {
		return from, PrefixSuccessor(header)
	}
	return from, appendEscaped(header, r.To)
}

// PrefixSuccessor gives the first key that does not begin with a prefix. It changes and returns its argument. A prefix
// of FF bytes only has no successor and gives nil; a row key never is one.
func PrefixSuccessor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			prefix[i]++
			return prefix[:i+1]
		}
	}
	return nil
}

// AppendTransactionKey appends the key of the transaction row of a revision.
func AppendTransactionKey(dst []byte, shard uint32, revision uint64) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, SpaceTransactions), shard)
	return binary.BigEndian.AppendUint64(dst, revision)
}

// DecodeTransactionKey reads the key of a transaction row.
func DecodeTransactionKey(b []byte) (shard uint32, revision uint64, err error) {
	if len(b) != 13 || b[0] != SpaceTransactions {
		return 0, 0, errCorrupt("not the key of a transaction")
	}
	return binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint64(b[5:]), nil
}

// ReplaceHint is what to do with a replica that lost, or can no longer read, what it had promised.
const ReplaceHint = "keep this node stopped: the others go on without it, and it must not vote on what it lost; check its disk, " +
	"then restore the region from a backup to have all nodes again"

func errCorrupt(format string, args ...any) error {
	return fault.New(fault.Corrupt, format, args...).WithHint(ReplaceHint)
}

func errUnsupported(format string, args ...any) error {
	return fault.New(fault.Unsupported, format, args...).WithHint(
		"a newer version wrote it: upgrade this node to the version that the others run, then start it again")
}

// NamespaceBounds gives the row keys [from, to) that hold every version of every record of a namespace.
func NamespaceBounds(shard, tenant, namespace uint32) (from, to []byte) {
	prefix := binary.BigEndian.AppendUint32([]byte{SpaceVersions}, shard)
	prefix = binary.BigEndian.AppendUint32(prefix, tenant)
	prefix = binary.BigEndian.AppendUint32(prefix, namespace)
	return prefix, PrefixSuccessor(append([]byte(nil), prefix...))
}
