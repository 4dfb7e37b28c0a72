package state

import "supercluster/region/record"

// A tombstone keeps no origin: what the event of a deletion says of it comes from the import that made it, and for events
// that are read from history from its transaction row and the version before it, which stays as long as the row does.

// goneAt is the origin in the event that takes a record of another region away: where that region stood here then. last is
// that of the last version. A channel that is given up has no position any more (0): the last version's is what is known.
func goneAt(home [16]byte, revision, incarnation uint64, last *record.Origin) *record.Origin {
	if revision == 0 {
		revision, incarnation = last.HomeRevision, last.Incarnation
	}
	return &record.Origin{Home: home, HomeRevision: revision, Incarnation: incarnation}
}

// gone completes deletions of other regions' records that are read from history.
type gone struct {
	r     Reader
	lives map[[16]byte]uint64 // see life
	key   []byte
}

// complete adds the incarnation, which a transaction row does not keep. It is that of the version before if the region
// is in it still: between the two it was in no other. Else it is not known.
func (g *gone) complete(e *record.Event) error {
	o := &e.Record.Origin
	if o.Home == ([16]byte{}) {
		return nil
	}
	g.key = record.AppendVersionKey(g.key[:0], e.Record.Key, e.Previous)
	row, found, err := g.r.Get(g.key)
	if err != nil || !found { // of config, versions beyond those that outlive compaction go with the oldest readable revision
		return err
	}
	var last record.Record
	if _, err := record.DecodeVersion(row, &last); err != nil {
		return err
	}
	return g.addLife(o, &last.Origin)
}

func (g *gone) addLife(o, last *record.Origin) error {
	life, err := g.life(o.Home)
	if err != nil {
		return err
	}
	if o.HomeRevision == 0 || life == last.Incarnation {
		*o = *goneAt(o.Home, o.HomeRevision, life, last)
	}
	return nil
}

// tombstones adds to those of a history, newest first, where the record's region was then, if it was of another one. Where
// the transaction row is purged, whose the record was is what the version before says, or else the one after.
func (g *gone) tombstones(all []record.Record) error {
	for i := range all {
		if !all[i].Deleted {
			continue
		}
		var last record.Origin
		if i+1 < len(all) {
			last = all[i+1].Origin
		}
		if last.Home == ([16]byte{}) && i+1 == len(all) && i > 0 {
			last.Home = all[i-1].Origin.Home
		}
		if err := g.tombstone(&all[i], &last); err != nil {
			return err
		}
	}
	return nil
}

func (g *gone) tombstone(r *record.Record, last *record.Origin) error {
	row, found, err := g.r.Get(record.AppendTransactionKey(nil, r.Key.Shard, r.ModifyRevision))
	if err != nil {
		return err
	}
	if !found {
		r.Origin = record.Origin{Home: last.Home}
		return nil
	}
	t, err := record.DecodeTransaction(row)
	if err != nil || t.Home == ([16]byte{}) {
		return err
	}
	r.Origin = record.Origin{Home: t.Home, HomeRevision: t.HomePosition.Revision}
	return g.addLife(&r.Origin, last)
}

// life gives the incarnation of a region that all its channels are in; 0: they are in several. A snapshot that is under way is
// of the incarnation of its target: what its chunks took away so far is in the transactions already.
func (g *gone) life(region [16]byte) (uint64, error) {
	if life, known := g.lives[region]; known {
		return life, nil
	}
	alias, _, found, err := FindRegion(g.r, region)
	if err != nil || !found {
		return 0, err
	}
	life, several := uint64(0), false
	is := func(incarnation uint64) {
		several = several || life != 0 && life != incarnation
		life = incarnation
	}
	if err := eachFeedState(g.r, alias, func(channel uint32, s *record.FeedState) error {
		is(s.Position.Incarnation)
		resync, under, err := ReadResync(g.r, alias, channel)
		if err != nil || !under {
			return err
		}
		target, err := record.DecodeFeedHead(resync.Target)
		is(target.Position.Incarnation)
		return err
	}); err != nil {
		return 0, err
	}
	if several {
		life = 0
	}
	if g.lives == nil {
		g.lives = map[[16]byte]uint64{}
	}
	g.lives[region] = life
	return life, nil
}
