package state

import (
	"bytes"
	"crypto/sha256"

	"supercluster/region/record"
)

// Content gives the hash of what the region holds: of all that a restore brings back as it was, and that servers which only start and
// run leave as it is. It is equal for a backup and for every node of the region that began with it, until somebody writes. Left out is
// where the machinery stands: the log and its proposers, alarms, fence and incarnation, the position of each channel, and what the
// nodes write about themselves when they start, with the history of the system shard that tells of it.
func Content(r Reader) (sum [32]byte, err error) {
	h := NewContentHasher()
	err = scan(r, nil, replicated(), h.Add)
	return h.Sum(), err
}

// ContentHasher makes the hash of the content of a state whose rows come one by one.
type ContentHasher struct {
	rows   *Hasher
	masked []byte
	// left out are the rows in [from, to)
	left [][2][]byte
}

// NewContentHasher begins a hash.
func NewContentHasher() *ContentHasher {
	c := &ContentHasher{rows: &Hasher{h: sha256.New()}}
	from, to := record.RangeBounds(record.Range{Shard: record.ShardSystem, Kind: record.KindNode, Scope: record.ScopeRegion})
	c.leave(from, to)
	c.leave(record.AppendTransactionKey(nil, record.ShardSystem, 0), record.AppendTransactionKey(nil, record.ShardSystem+1, 0))
	c.leave(record.AppendCountersKey(nil, 0, 0), record.AppendCountersKey(nil, 1, 0)) // of no tenant: of the nodes' records
	for _, space := range []record.Space{
		record.SpaceWindows, record.SpaceAlarms, record.SpaceHolds,
		record.SpaceFeedLog, record.SpaceExported, record.SpaceCursors, record.SpaceResync,
	} {
		c.leave([]byte{space}, []byte{space + 1})
	}
	c.leave(record.FederationKey(), append(record.FederationKey(), 0))
	return c
}

func (c *ContentHasher) leave(from, to []byte) { c.left = append(c.left, [2][]byte{from, to}) }

// Add takes the next row, in key order.
func (c *ContentHasher) Add(key, value []byte) error {
	for _, r := range c.left {
		if bytes.Compare(key, r[0]) >= 0 && bytes.Compare(key, r[1]) < 0 {
			return nil
		}
	}
	if bytes.Equal(key, record.HeadKey()) {
		head, err := record.DecodeHead(value)
		if err != nil {
			return err
		}
		c.masked = record.AppendHead(c.masked[:0], &record.Head{
			Positions: record.Positions{Data: head.Positions.Data}, Compacted: record.Positions{Data: head.Compacted.Data},
			NextTenant: head.NextTenant, NextNamespace: head.NextNamespace, Clock: record.Clock{Now: head.Clock.Now},
		})
		value = c.masked
	}
	return c.rows.Add(key, value)
}

// Sum gives the hash of the rows so far.
func (c *ContentHasher) Sum() [32]byte { return c.rows.Sum() }
