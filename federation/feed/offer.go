package feed

import (
	"supercluster/region/record"
	"supercluster/region/state"
)

// Kept gives the signed document of a channel that is kept from a peer, if it is later than the one that the peer has; nil:
// the peer may have the channel, or this server does not know better than it. A fenced region knows nothing.
func (s *Server) Kept(r state.Reader, peer, region [16]byte, channel uint32, generation uint64) ([]byte, error) {
	st, ok, err := s.standing(r, region, channel)
	if err != nil || !ok || st.fence != record.FenceNone || st.document.MayHave(peer) || st.document.Generation <= generation {
		return nil, err
	}
	return s.documentOf(&st, region), nil
}

// Offer is a channel of this region as it is offered to a peer.
type Offer struct{ Document, Head []byte }

// Offers lists the channels of this region that a peer may have, as they stand. A fenced region offers none.
func (s *Server) Offers(r state.Reader, peer [16]byte, now int64) ([]Offer, error) {
	f, found, err := state.ReadFederation(r)
	if err != nil || !found || f.Fence != record.FenceNone {
		return nil, err
	}
	docs, err := state.Channels(r)
	if err != nil {
		return nil, err
	}
	var all []Offer
	for i := range docs {
		if !docs[i].MayHave(peer) {
			continue
		}
		head, err := state.OwnHead(r, s.Self, &docs[i])
		if err != nil {
			return nil, err
		}
		doc := record.ChannelDocument{Region: s.Self, Channel: docs[i]}
		doc.Signature = s.Sign(doc.Signed())
		all = append(all, Offer{record.AppendChannelDocument(nil, &doc), s.sign(head, now)})
	}
	return all, nil
}
