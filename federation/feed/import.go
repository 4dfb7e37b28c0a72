package feed

import (
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Importer takes one channel over from one server. It judges what comes and turns it into operations, which the owner
// proposes in the order in which they were given; the next one may be given before the one before was applied.
type Importer struct {
	Self    [16]byte
	Region  [16]byte
	Channel uint32
	Keys    Keys

	at       record.FeedPosition // after all operations that were given
	resync   []byte              // head of the snapshot that is under way
	next     []byte              // key at which its next chunk begins
	document uint64              // generation of the document that is here
	pulled   bool

	without without
}

// Pull makes the request to begin with, or to begin again after anything went wrong, from what was applied.
func (i *Importer) Pull(r state.Reader, now int64, credit uint32) (*Message, error) {
	p := &Pull{Region: i.Region, Channel: i.Channel, Credit: credit, Stamp: now}
	alias, _, found, err := state.FindRegion(r, i.Region)
	if err != nil || !found {
		return nil, err
	}
	s, _, err := state.FeedStateOf(r, alias, i.Channel)
	if err != nil {
		return nil, err
	}
	p.Cursor, p.Head = s.Position, s.Head
	if doc, err := record.DecodeChannelDocument(s.Document); err == nil {
		p.Generation = doc.Channel.Generation
	}
	resync, under, err := state.ReadResync(r, alias, i.Channel)
	if err != nil {
		return nil, err
	}
	if p.Whole = under; under {
		p.Head = resync.Target // the newest that the region signed, as far as is known here
	}
	i.at, i.resync, i.next, i.document, i.pulled = s.Position, nil, nil, p.Generation, true
	return &Message{Type: TypePull, Region: i.Region, Channel: i.Channel, Pull: p}, nil
}

// Take turns a message into an operation; nil if there is nothing to apply. After an error the owner pulls again.
func (i *Importer) Take(m *Message) (*record.Op, error) {
	if !i.pulled || m.Region != i.Region || m.Channel != i.Channel {
		return nil, fault.New(fault.Invalid, "a message is of another channel than was asked for")
	}
	switch m.Type {
	case TypeBatch:
		return i.batch(m.Batch)
	case TypeChunk:
		return i.chunk(m.Chunk)
	case TypeRefuse:
		return nil, refused(m.Refuse.Reason)
	default:
		return nil, fault.New(fault.Invalid, "a server sent a message of type %d", m.Type)
	}
}

func refused(why Refusal) error {
	kind := fault.Unavailable
	if why == RefusedAudience {
		kind = fault.Denied
	}
	return fault.New(kind, "the server refuses the channel: %s", why)
}

// head judges the head that closes a message.
func (i *Importer) head(encoded []byte) (record.FeedHead, error) {
	head, genuine := i.Keys.verify(encoded)
	switch {
	case !genuine && !i.without.signature:
		return head, fault.New(fault.Denied, "a head of region %x is not signed by its key", i.Region)
	case head.Region != i.Region || head.Channel != i.Channel:
		return head, fault.New(fault.Invalid, "a head is of another channel than what it closes")
	}
	return head, nil
}

// signed judges the document that came along, if one did.
func (i *Importer) signed(encoded []byte) error {
	if len(encoded) == 0 {
		return nil
	}
	doc, genuine := i.Keys.verifyDocument(encoded)
	switch {
	case !genuine && !i.without.signature:
		return fault.New(fault.Denied, "the document of a channel of region %x is not signed by its key", i.Region)
	case doc.Region != i.Region || doc.Channel.ID != i.Channel:
		return fault.New(fault.Invalid, "a document is of another channel than what it came with")
	case !doc.Channel.MayHave(i.Self):
		return fault.New(fault.Denied, "channel %d of region %x is not for this region", i.Channel, i.Region)
	case doc.Channel.Generation < i.document:
		return fault.New(fault.Invalid, "the document of channel %d is older than the one that is here", i.Channel)
	}
	i.document = doc.Channel.Generation
	return nil
}

func (i *Importer) batch(b *Batch) (*record.Op, error) {
	head, err := i.head(b.Head)
	if err != nil {
		return nil, err
	}
	if err := i.signed(b.Document); err != nil {
		return nil, err
	}
	if i.resync != nil {
		return nil, fault.New(fault.Invalid, "a batch came before the snapshot had ended")
	}
	want := i.at.Sequence + uint64(len(b.Records))
	if head.Position.Incarnation != i.at.Incarnation || head.Position.Sequence != want {
		return nil, fault.New(fault.Invalid, "a batch ends at %d.%d, not at %d.%d", head.Position.Incarnation,
			head.Position.Sequence, i.at.Incarnation, want)
	}
	from := i.at
	i.at = head.Position
	return &record.Op{Type: record.OpImport, Import: &record.Import{
		RegionID: i.Region, Channel: i.Channel, From: from, Records: b.Records, Head: b.Head, Document: b.Document,
	}}, nil
}

func (i *Importer) chunk(c *Chunk) (*record.Op, error) {
	head, err := i.head(c.Target)
	if err != nil {
		return nil, err
	}
	if err := i.signed(c.Document); err != nil {
		return nil, err
	}
	if len(c.From) == 0 {
		i.resync, i.next = c.Target, nil
	}
	if string(i.resync) != string(c.Target) || string(i.next) != string(c.From) {
		return nil, fault.New(fault.Invalid, "a chunk of a snapshot does not follow the one before it")
	}
	if i.next = c.To; len(c.To) == 0 {
		i.at, i.resync = head.Position, nil
	}
	return &record.Op{Type: record.OpReplace, Replace: &record.Replace{
		RegionID: i.Region, Channel: i.Channel, Target: c.Target, From: c.From, To: c.To, Items: c.Items, Document: c.Document,
	}}, nil
}

// At is the position after all operations that were given.
func (i *Importer) At() record.FeedPosition { return i.at }
