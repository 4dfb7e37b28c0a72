package federation

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"supercluster/region/record"
)

// A channel may be younger than the state that a region heals from, or have been changed since. Every peer that has it shows its
// document, which only this region can have signed: the newest one is taken back, and what the channel carried is healed like the
// rest.

// newestDocument gives the latest document of a channel of this region that peers show and that it signed; nil: none does.
func newestDocument(from []source) (newest *record.Channel) {
	for i := range from {
		if doc := from[i].document; doc != nil && (newest == nil || doc.Generation > newest.Generation) {
			newest = doc
		}
	}
	return newest
}

// ownDocument reads the document of a channel of this region that a peer shows; nil: it is not what this region signed.
func (f *Federation) ownDocument(channel uint32, encoded []byte) *record.Channel {
	doc, err := record.DecodeChannelDocument(encoded)
	if err != nil || doc.Region != f.cfg.Identity.RegionID || doc.Channel.ID != channel ||
		!f.book.verify(doc.Region, doc.Signed(), doc.Signature) {
		return nil
	}
	return &doc.Channel
}

// documents takes back the documents of channels that peers show and that are younger than what is here, and gives the channels that
// were not here. A channel that can not be made again is named in the report; its records are healed all the same, where its class
// is known.
func (h *healing) documents(ctx context.Context, found map[uint32][]source) (young []record.Channel, err error) {
	for _, id := range slices.Sorted(maps.Keys(found)) {
		doc, have := newestDocument(found[id]), h.channels[id]
		switch {
		case doc == nil && have == nil:
			h.lostChannels[id] = "no peer that was reached shows a document of it that this region signed"
			continue
		case doc == nil || have != nil && have.Generation >= doc.Generation:
			continue
		}
		if err := h.bringBackDocument(ctx, doc); err != nil {
			return nil, err
		}
		h.channels[id] = doc
		if have == nil {
			h.young[id] = doc
			young = append(young, *doc)
		}
	}
	return young, nil
}

// bringBackDocument writes a document, or notes why that can not be.
func (h *healing) bringBackDocument(ctx context.Context, doc *record.Channel) error {
	op := record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: *doc, Writer: record.Writer{
		Actor: "federation", Message: "brought back from a peer", Time: h.f.cfg.Now().UnixNano(),
	}}}
	_, err := h.f.propose(ctx, op)
	switch {
	case passes(err):
		return fmt.Errorf("%w: %w", errNotNow, err)
	case err == nil, stale(err): // perhaps an answer was lost, and it is there
		delete(h.lostChannels, doc.ID)
		h.f.log.Warn("brought back the document of a channel from a peer", "channel", doc.ID, "name", doc.Name, "class", className(doc.Class))
	default:
		h.lostChannels[doc.ID] = fmt.Sprintf("%s of class %s could not be made again: %v", doc.Name, className(doc.Class), err)
	}
	return nil
}

// channelLosses says what is not healed of channels that are younger than the state that the region began with.
func (h *healing) channelLosses() (lines []string) {
	for _, id := range slices.Sorted(maps.Keys(h.lostChannels)) {
		lines = append(lines, fmt.Sprintf("channel %d: %s", id, h.lostChannels[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(h.young)) {
		if _, lost := h.lostChannels[id]; !lost {
			lines = append(lines, fmt.Sprintf("channel %d, %s of class %s, is younger than the state that this region began with: what was deleted since and was in no other channel is there again",
				id, h.young[id].Name, className(h.young[id].Class)))
		}
	}
	return lines
}
