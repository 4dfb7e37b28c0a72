package record

import (
	"encoding/binary"
	"strings"

	"supercluster/internal/fault"
)

// Projection says how much of its records a channel carries.
type Projection uint8

// The projections.
const (
	ProjectionFull    Projection = 1
	ProjectionSummary Projection = 2 // summary records instead of the records themselves
)

// Term names records of a selector; empty fields name all.
type Term struct {
	Tenant    [16]byte
	Namespace string
	Kind      Kind
	Name      string // a prefix, or with Exact the whole name
	Exact     bool
}

// Selector picks records: those that any of its terms names; without terms, all.
type Selector []Term

// Picks reports whether the selector picks a record.
func (s Selector) Picks(k *FeedKey) bool {
	for i := range s {
		if s[i].names(k) {
			return true
		}
	}
	return len(s) == 0
}

func (t *Term) names(k *FeedKey) bool {
	switch {
	case t.Tenant != [16]byte{} && t.Tenant != k.Tenant,
		t.Namespace != "" && t.Namespace != k.Namespace,
		t.Kind != 0 && t.Kind != k.Kind:
		return false
	case t.Exact:
		return t.Name == k.Name
	default:
		return strings.HasPrefix(k.Name, t.Name)
	}
}

// Channel is one feed of a region: which records it carries, and to whom.
type Channel struct {
	ID         uint32 // of the region; never reused
	Name       string
	Class      Class
	Projection Projection
	Generation uint64 // larger in each later document of the channel
	Selector   Selector
	Audience   [][16]byte // regions that may have it; none is every peer
}

// MayHave reports whether a region is in the audience.
func (c *Channel) MayHave(region [16]byte) bool {
	for _, r := range c.Audience {
		if r == region {
			return true
		}
	}
	return len(c.Audience) == 0
}

func appendChannel(dst []byte, c *Channel) []byte {
	dst = binary.AppendUvarint(append(dst, feedFormat), uint64(c.ID))
	dst = appendString(dst, c.Name)
	dst = append(dst, byte(c.Class), byte(c.Projection))
	dst = binary.AppendUvarint(dst, c.Generation)
	dst = appendSelector(dst, c.Selector)
	dst = binary.AppendUvarint(dst, uint64(len(c.Audience)))
	for i := range c.Audience {
		dst = append(dst, c.Audience[i][:]...)
	}
	return dst
}

func (c *cursor) channel() (ch Channel, err error) {
	if format := c.uint8(); !c.bad && format != feedFormat {
		return Channel{}, errFeedFormat("a channel has format %d", format)
	}
	ch.ID, ch.Name = c.uint32(), c.string()
	ch.Class, ch.Projection = Class(c.uint8()), Projection(c.uint8())
	ch.Generation = c.uint64()
	ch.Selector = c.selector()
	if n := c.count(16); n > 0 {
		ch.Audience = make([][16]byte, n)
	}
	for i := range ch.Audience {
		ch.Audience[i] = c.id()
	}
	return ch, nil
}

func appendSelector(dst []byte, s Selector) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for i := range s {
		t := &s[i]
		dst = append(dst, t.Tenant[:]...)
		dst = appendString(dst, t.Namespace)
		dst = binary.AppendUvarint(dst, uint64(t.Kind))
		dst = appendString(dst, t.Name)
		dst = append(dst, flag(t.Exact, 1))
	}
	return dst
}

func (c *cursor) selector() Selector {
	n := c.count(16 + 1 + 1 + 1 + 1)
	if n == 0 {
		return nil
	}
	s := make(Selector, n)
	for i := range s {
		s[i] = Term{Tenant: c.id(), Namespace: c.string(), Kind: Kind(c.uint16()), Name: c.string(), Exact: c.uint8() != 0}
	}
	return s
}

// ChannelDocument is a channel in the words of its home, signed by the region's feed key: a relay serves a channel only
// to the audience that the home named.
type ChannelDocument struct {
	Region    [16]byte
	Channel   Channel
	Signature [64]byte
}

const channelDomain = "supercluster channel\x00"

// Signed gives the bytes that the signature covers.
func (d *ChannelDocument) Signed() []byte {
	return appendChannel(append([]byte(channelDomain), d.Region[:]...), &d.Channel)
}

// AppendChannelDocument appends a document and its signature.
func AppendChannelDocument(dst []byte, d *ChannelDocument) []byte {
	return append(appendChannel(append(dst, d.Region[:]...), &d.Channel), d.Signature[:]...)
}

// DecodeChannelDocument reads a document. It does not judge the signature.
func DecodeChannelDocument(b []byte) (d ChannelDocument, err error) {
	c := cursor{b: b}
	d.Region = c.id()
	if d.Channel, err = c.channel(); err != nil {
		return ChannelDocument{}, err
	}
	copy(d.Signature[:], c.take(len(d.Signature)))
	if !c.end() {
		return ChannelDocument{}, errFeed("a channel document of %d bytes does not parse", len(b))
	}
	return d, nil
}

// errFeed is about bytes of another region. They never stop a replica: what came is refused.
func errFeed(format string, args ...any) error {
	return fault.New(fault.Invalid, format, args...)
}

func errFeedFormat(format string, args ...any) error {
	return fault.New(fault.Unsupported, format, args...).WithHint("a newer version wrote it: upgrade this region")
}
