package state

import (
	"bytes"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// OwnHead gives the head of a channel of this region as it stands, unsigned and without a time.
func OwnHead(r Reader, region [16]byte, doc *record.Channel) (record.FeedHead, error) {
	s, _, err := readFeedState(r, AliasSelf, doc.ID)
	if err != nil {
		return record.FeedHead{}, err
	}
	head, err := readHead(r)
	return record.FeedHead{
		Region: region, Channel: doc.ID, Generation: doc.Generation, Position: s.Position, Digest: s.Digest,
		Revision: head.Positions.Of(shardOfClass(doc.Class)),
	}, err
}

// FeedLogEntry is a row of the log of a channel.
type FeedLogEntry struct {
	Sequence uint64
	record.FeedLogRow
}

// FeedLog reads the log of a channel after a sequence: at most maxBytes of records, but one at least if there is one.
// What an earlier incarnation left behind the channel's position is not read.
func FeedLog(r Reader, alias, channel uint32, s *record.FeedState, after uint64, maxBytes int) (rows []FeedLogEntry, err error) {
	if after < s.FloorSequence || after >= s.Position.Sequence {
		return nil, nil
	}
	it, err := r.Scan(record.AppendFeedLogKey(nil, alias, channel, after+1),
		record.AppendFeedLogKey(nil, alias, channel, s.Position.Sequence+1), false)
	if err != nil {
		return nil, err
	}
	for size := 0; size < maxBytes && it.Next(); {
		sequence, err := record.DecodeFeedLogKey(it.Key())
		if err == nil {
			var row record.FeedLogRow
			row, err = record.DecodeFeedLogRow(bytes.Clone(it.Value()))
			if size += len(row.Record); size > maxBytes && len(rows) > 0 {
				break
			}
			rows = append(rows, FeedLogEntry{sequence, row})
		}
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, err
		}
	}
	return rows, it.Close()
}

// FeedChainAt gives the chain of a channel at a sequence; false: the log no longer tells.
func FeedChainAt(r Reader, alias, channel uint32, s *record.FeedState, sequence uint64) ([32]byte, bool, error) {
	switch {
	case sequence == s.Position.Sequence:
		return s.Position.Chain, true, nil
	case sequence == s.FloorSequence:
		return s.FloorChain, true, nil
	case sequence < s.FloorSequence || sequence > s.Position.Sequence:
		return [32]byte{}, false, nil
	}
	b, found, err := r.Get(record.AppendFeedLogKey(nil, alias, channel, sequence))
	if err != nil || !found {
		return [32]byte{}, false, err
	}
	row, err := record.DecodeFeedLogRow(b)
	return row.Chain, err == nil, err
}

// FeedContent reads the live records of a channel in the order of their keys, from a key on: at most maxBytes, but one at
// least if there is one. next is the key to go on from; nil at the end.
func FeedContent(r Reader, alias, channel uint32, from []byte, maxBytes int) (items []record.FeedItem, next []byte, err error) {
	if alias == AliasSelf {
		return ownContent(r, channel, from, maxBytes)
	}
	lower := record.AppendImportedKey(nil, alias, channel, from)
	upper := record.PrefixSuccessor(record.AppendImportedKey(nil, alias, channel, nil))
	size := 0
	it, err := r.Scan(lower, upper, false)
	if err != nil {
		return nil, nil, err
	}
	for it.Next() {
		key := bytes.Clone(record.ImportedFeedKey(it.Key()))
		if size >= maxBytes {
			next = key
			break
		}
		row, err := record.DecodeImported(bytes.Clone(it.Value()))
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, nil, err
		}
		items, size = append(items, record.FeedItem{Key: key, Entry: row.Entry}), size+len(key)+len(row.Entry)
	}
	return items, next, it.Close()
}

// ownContent builds the live records of a channel of this region from the records themselves.
func ownContent(r Reader, channel uint32, from []byte, maxBytes int) (items []record.FeedItem, next []byte, err error) {
	type exported struct {
		key []byte
		row record.Exported
	}
	var rows []exported
	lower := record.AppendExportedKey(nil, channel, from)
	it, err := r.Scan(lower, record.PrefixSuccessor(record.AppendExportedKey(nil, channel, nil)), false)
	if err != nil {
		return nil, nil, err
	}
	const maxRows = 4096
	for len(rows) <= maxRows && it.Next() {
		row, err := record.DecodeExported(it.Value())
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, nil, err
		}
		rows = append(rows, exported{bytes.Clone(record.ExportedFeedKey(it.Key())), row})
	}
	if err := it.Close(); err != nil {
		return nil, nil, err
	}
	size := 0
	for i := range rows {
		if size >= maxBytes || i == maxRows {
			return items, rows[i].key, nil
		}
		entry, err := ownEntry(r, rows[i].key, &rows[i].row)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, record.FeedItem{Key: rows[i].key, Entry: entry})
		size += len(rows[i].key) + len(entry)
	}
	return items, nil, nil
}

func ownEntry(r Reader, key []byte, row *record.Exported) ([]byte, error) {
	k, err := record.DecodeFeedKey(key)
	if err != nil {
		return nil, err
	}
	shard, _ := k.Kind.Shard()
	local := record.Key{Shard: shard, Tenant: row.Tenant, Namespace: row.Namespace, Kind: k.Kind, Name: k.Name}
	if k.Regional {
		local.Scope = record.ScopeRegion
	}
	rec, found, err := Get(r, local, 0)
	if err != nil {
		return nil, err
	}
	entry := appendEntryOf(nil, &rec, row.OwnerEpoch)
	if !found || record.Element(key, entry) != row.Element {
		return nil, fault.New(fault.Corrupt, "the exported record %q is not what its channel carries", k.Name).
			WithHint(record.ReplaceHint)
	}
	return entry, nil
}

// FeedDigestAt gives the digest of a channel at a position; false: the log no longer tells, or it never was there.
func FeedDigestAt(r Reader, alias, channel uint32, s *record.FeedState, p record.FeedPosition) (record.Digest, bool, error) {
	if p == s.Position {
		return s.Digest, true, nil
	}
	if p.Incarnation != s.Position.Incarnation || p.Sequence > s.Position.Sequence || p.Sequence <= s.FloorSequence {
		return record.Digest{}, false, nil
	}
	b, found, err := r.Get(record.AppendFeedLogKey(nil, alias, channel, p.Sequence))
	if err != nil || !found {
		return record.Digest{}, false, err
	}
	row, err := record.DecodeFeedLogRow(b)
	return row.Digest, err == nil && row.Chain == p.Chain, err
}
