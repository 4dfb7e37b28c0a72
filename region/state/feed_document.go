package state

import (
	"slices"

	"supercluster/region/record"
)

// bringBackChannel takes the document of a channel as a peer shows it, who had it from this region: one that is younger than the
// state that the region heals from. The channel goes through the records only in the next incarnation: until then all that it has is
// what was healed, and what peers do not have of it is not taken for deleted.
func (m *machine) bringBackChannel(f *federation, op *record.Op, r *record.Result) error {
	doc := op.SetChannel.Channel
	at := slices.IndexFunc(f.channels, func(c ownChannel) bool { return c.doc.ID == doc.ID })
	if !mayBringBack(f, at, &doc, r) {
		return nil
	}
	if at < 0 {
		at = len(f.channels)
		f.row.NextChannel, f.dirty = max(f.row.NextChannel, doc.ID+1), true
		f.channels = append(f.channels, ownChannel{state: record.FeedState{
			Position: record.FeedPosition{Incarnation: f.row.Incarnation},
		}})
	}
	c := &f.channels[at]
	c.doc, c.dirty = doc, true
	c.state.Step, c.state.Walking, c.state.Next = 0, false, nil
	r.ID = doc.ID
	if err := m.writeChannels(f); err != nil {
		return err
	}
	return m.noteChannel(op, &doc)
}

// mayBringBack judges a document that a peer showed against what is here; at is where the channel is, or -1.
func mayBringBack(f *federation, at int, doc *record.Channel, r *record.Result) bool {
	twin := func(c ownChannel) bool {
		return c.doc.ID != doc.ID && c.doc.Class == doc.Class && c.doc.Name == doc.Name
	}
	switch {
	case f.row.Fence != record.FenceHealing:
		refuse(r, record.StatusStale, "the region does not heal")
	case doc.ID == 0 || doc.ID == ^uint32(0):
		refuse(r, record.StatusInvalid, "there is no channel %d", doc.ID)
	case at >= 0 && doc.Generation <= f.channels[at].doc.Generation:
		refuse(r, record.StatusStale, "the document of channel %d that is here is not older", doc.ID)
	case at >= 0 && doc.Class != f.channels[at].doc.Class:
		refuse(r, record.StatusExists, "channel %d is of another class here", doc.ID)
	case at < 0 && len(f.channels) >= record.MaxChannels:
		refuse(r, record.StatusTooLarge, "the region has %d channels; that is the limit", record.MaxChannels)
	case slices.ContainsFunc(f.channels, twin):
		refuse(r, record.StatusExists, "another channel of that class is called %q here", doc.Name)
	default:
		return validChannel(doc, f, r)
	}
	return false
}
