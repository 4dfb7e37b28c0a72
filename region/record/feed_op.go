package record

import "encoding/binary"

// Peer makes a region known, or says that it is no longer a peer. Value is the record that describes it.
type Peer struct {
	RegionID [16]byte
	Removed  bool
	Value    []byte
	Writer   Writer
	Trace    Trace
	// Compare: it is applied if the record that describes the region is at Revision, 0 if there is none. So of two who
	// change parts of one document neither undoes what the other did.
	Compare  bool
	Revision uint64
}

// Link shows the records of a tenant of another region under a tenant of this one; Tenant 0 ends that.
type Link struct {
	RegionID [16]byte
	Remote   [16]byte
	Tenant   uint32
	Writer   Writer // zero: nobody is recorded, here and below
}

// Place gives the placed records of a namespace whose names begin with a prefix to a home. The first placement of a
// namespace has the empty prefix and declares it federated.
type Place struct {
	Tenant    uint32
	Namespace uint32
	UID       [16]byte // of the tenant
	Name      string   // of the namespace
	Prefix    string
	Home      [16]byte
	Removed   bool
	Value     []byte // of the record that describes it
	Writer    Writer
	Trace     Trace
}

// SetChannel makes or changes a channel of this region. ID 0 makes one; Apply counts the generation. A channel stays for
// ever: one that is of no use is given a selector that picks little.
type SetChannel struct {
	Channel Channel
	Writer  Writer
}

// Take says what of another region's records is shown here.
type Take struct {
	RegionID [16]byte
	Selector Selector
	Writer   Writer
}

// Walk is one step of a backfill of an own channel, or of a remap of an imported one.
type Walk struct {
	RegionID [16]byte
	Channel  uint32
	Step     uint64
	From     []byte
	Limit    uint32
}

// Import takes records over from another region's channel, or without records a newer head at the same position. It is
// applied if From is where the channel stands here, and all of it or none.
type Import struct {
	RegionID [16]byte
	Channel  uint32
	From     FeedPosition
	Records  [][]byte // encoded FeedRecords
	Head     []byte   // the signed head that closes them
	Document []byte   // the channel's signed document, if it is news
}

// FeedItem is a live record in a snapshot of a channel.
type FeedItem struct {
	Key   []byte
	Entry []byte
}

// Replace is one chunk of a snapshot of another region's channel: its live records with From <= key < To are exactly
// Items. An empty To is the end. The first chunk has an empty From.
type Replace struct {
	RegionID [16]byte
	Channel  uint32
	Target   []byte // the signed head of the snapshot
	From, To []byte
	Items    []FeedItem
	Document []byte
}

// SetFence pauses exports: the region runs on old data (healing), or another copy of it lives (clone). Proof is a head
// that the region signed and that is no part of its history; Apply judges that again, for who saw it may have been behind.
type SetFence struct {
	Fence  Fence
	Proof  []byte
	Reason string
}

// Mint begins a new incarnation and ends a fence. Operator is set when a person decided it.
type Mint struct {
	Incarnation uint64 // the region's, when it was decided
	Seen        uint64
	Operator    bool
	Writer      Writer
}

// TrimFeed removes the oldest records from the log of a channel, up to and with a sequence.
type TrimFeed struct {
	RegionID [16]byte
	Channel  uint32
	Through  uint64
}

// Withdraw gives up a channel of another region whose audience this region is not in any more: what is here of it goes.
type Withdraw struct {
	RegionID [16]byte
	Channel  uint32
	Document []byte // the signed document that says so
}

func appendFeedOp(dst []byte, op *Op) ([]byte, bool) {
	switch {
	case op.Type == OpPeer && op.Peer != nil:
		return appendPeer(dst, op.Peer), true
	case op.Type == OpLink && op.Link != nil:
		b := op.Link
		dst = binary.AppendUvarint(append(append(dst, b.RegionID[:]...), b.Remote[:]...), uint64(b.Tenant))
		return appendLastWriter(dst, &b.Writer), true
	case op.Type == OpPlace && op.Place != nil:
		return appendPlace(dst, op.Place), true
	case op.Type == OpSetChannel && op.SetChannel != nil:
		return appendLastWriter(appendChannel(dst, &op.SetChannel.Channel), &op.SetChannel.Writer), true
	case op.Type == OpTake && op.Take != nil:
		dst = appendSelector(append(dst, op.Take.RegionID[:]...), op.Take.Selector)
		return appendLastWriter(dst, &op.Take.Writer), true
	case op.Type == OpWalk && op.Walk != nil:
		b := op.Walk
		dst = appendChannelName(dst, b.RegionID, b.Channel)
		dst = appendBytes(binary.AppendUvarint(dst, b.Step), b.From)
		return binary.AppendUvarint(dst, uint64(b.Limit)), true
	case op.Type == OpImport && op.Import != nil:
		return appendImport(dst, op.Import), true
	case op.Type == OpReplace && op.Replace != nil:
		return appendReplace(dst, op.Replace), true
	case op.Type == OpFence && op.SetFence != nil:
		b := op.SetFence
		return appendString(appendBytes(append(dst, byte(b.Fence)), b.Proof), b.Reason), true
	case op.Type == OpMint && op.Mint != nil:
		dst = binary.AppendUvarint(dst, op.Mint.Incarnation)
		dst = append(binary.AppendUvarint(dst, op.Mint.Seen), flag(op.Mint.Operator, 1))
		return appendLastWriter(dst, &op.Mint.Writer), true
	case op.Type == OpTrimFeed && op.TrimFeed != nil:
		return binary.AppendUvarint(appendChannelName(dst, op.TrimFeed.RegionID, op.TrimFeed.Channel), op.TrimFeed.Through), true
	case op.Type == OpWithdraw && op.Withdraw != nil:
		return appendBytes(appendChannelName(dst, op.Withdraw.RegionID, op.Withdraw.Channel), op.Withdraw.Document), true
	}
	return dst, false
}

// appendLastWriter appends a writer at the end of an operation that had none before level 3; a zero one is left out.
func appendLastWriter(dst []byte, w *Writer) []byte {
	if w.isZero() {
		return dst
	}
	return appendWriter(dst, w)
}

func (c *cursor) lastWriter() Writer {
	if len(c.b) == 0 {
		return Writer{}
	}
	return c.writer()
}

func appendChannelName(dst []byte, region [16]byte, channel uint32) []byte {
	return binary.AppendUvarint(append(dst, region[:]...), uint64(channel))
}

func appendPeer(dst []byte, b *Peer) []byte {
	dst = append(append(dst, b.RegionID[:]...), flag(b.Removed, 1))
	dst = appendWriter(appendBytes(dst, b.Value), &b.Writer)
	dst = appendOptionalTrace(dst, &b.Trace)
	if b.Compare {
		dst = binary.AppendUvarint(dst, b.Revision)
	}
	return dst
}

func appendPlace(dst []byte, b *Place) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(b.Tenant)), uint64(b.Namespace))
	dst = appendString(appendString(append(dst, b.UID[:]...), b.Name), b.Prefix)
	dst = append(append(dst, b.Home[:]...), flag(b.Removed, 1))
	dst = appendWriter(appendBytes(dst, b.Value), &b.Writer)
	return appendOptionalTrace(dst, &b.Trace)
}

func appendImport(dst []byte, b *Import) []byte {
	dst = appendPosition(appendChannelName(dst, b.RegionID, b.Channel), &b.From)
	dst = binary.AppendUvarint(dst, uint64(len(b.Records)))
	for _, r := range b.Records {
		dst = appendBytes(dst, r)
	}
	return appendBytes(appendBytes(dst, b.Head), b.Document)
}

func appendReplace(dst []byte, b *Replace) []byte {
	dst = appendBytes(appendChannelName(dst, b.RegionID, b.Channel), b.Target)
	dst = appendBytes(appendBytes(dst, b.From), b.To)
	dst = binary.AppendUvarint(dst, uint64(len(b.Items)))
	for i := range b.Items {
		dst = appendBytes(appendBytes(dst, b.Items[i].Key), b.Items[i].Entry)
	}
	return appendBytes(dst, b.Document)
}

// feedOp reads the body of an operation of federation; false: it is none.
func (c *cursor) feedOp(op *Op) (ok bool, err error) {
	switch op.Type {
	case OpPeer:
		op.Peer = &Peer{RegionID: c.id(), Removed: c.uint8() != 0, Value: c.bytes(), Writer: c.writer(), Trace: c.optionalTrace()}
		if op.Peer.Compare = len(c.b) > 0; op.Peer.Compare {
			op.Peer.Revision = c.uint64()
		}
	case OpLink:
		op.Link = &Link{RegionID: c.id(), Remote: c.id(), Tenant: c.uint32(), Writer: c.lastWriter()}
	case OpPlace:
		op.Place = &Place{
			Tenant: c.uint32(), Namespace: c.uint32(), UID: c.id(), Name: c.string(), Prefix: c.string(), Home: c.id(),
			Removed: c.uint8() != 0, Value: c.bytes(), Writer: c.writer(), Trace: c.optionalTrace(),
		}
	case OpSetChannel:
		op.SetChannel = &SetChannel{}
		if op.SetChannel.Channel, err = c.channel(); err == nil {
			op.SetChannel.Writer = c.lastWriter()
		}
	case OpTake:
		op.Take = &Take{RegionID: c.id(), Selector: c.selector(), Writer: c.lastWriter()}
	case OpWalk:
		op.Walk = &Walk{RegionID: c.id(), Channel: c.uint32(), Step: c.uint64(), From: c.bytes(), Limit: c.uint32()}
	case OpImport:
		op.Import = c.importOp()
	case OpReplace:
		op.Replace = c.replaceOp()
	case OpFence:
		op.SetFence = &SetFence{Fence: Fence(c.uint8()), Proof: c.bytes(), Reason: c.string()}
	case OpMint:
		op.Mint = &Mint{Incarnation: c.uint64(), Seen: c.uint64(), Operator: c.uint8() != 0, Writer: c.lastWriter()}
	case OpTrimFeed:
		op.TrimFeed = &TrimFeed{RegionID: c.id(), Channel: c.uint32(), Through: c.uint64()}
	case OpWithdraw:
		op.Withdraw = &Withdraw{RegionID: c.id(), Channel: c.uint32(), Document: c.bytes()}
	default:
		return false, nil
	}
	return true, err
}

func (c *cursor) importOp() *Import {
	b := &Import{RegionID: c.id(), Channel: c.uint32(), From: c.position()}
	if n := c.count(1); n > 0 {
		b.Records = make([][]byte, n)
	}
	for i := range b.Records {
		b.Records[i] = c.bytes()
	}
	b.Head, b.Document = c.bytes(), c.bytes()
	return b
}

func (c *cursor) replaceOp() *Replace {
	b := &Replace{RegionID: c.id(), Channel: c.uint32(), Target: c.bytes(), From: c.bytes(), To: c.bytes()}
	if n := c.count(2); n > 0 {
		b.Items = make([]FeedItem, n)
	}
	for i := range b.Items {
		b.Items[i] = FeedItem{Key: c.bytes(), Entry: c.bytes()}
	}
	b.Document = c.bytes()
	return b
}

// LevelIncarnation is the feature level from which what is shown of another region's records carries its incarnation, and from
// which channels are withdrawn.
const LevelIncarnation = 3

// LevelDocuments is the feature level from which a region that heals takes documents of its channels as peers show them: those that
// are set with a generation.
const LevelDocuments = 4

// levelOf gives the feature level that an operation needs.
func levelOf(op *Op) uint32 {
	switch t := op.Type; {
	case op.SetChannel != nil && op.SetChannel.Channel.Generation > 0:
		return LevelDocuments
	case t == OpImport || t == OpReplace || t == OpWalk || t == OpWithdraw || op.Peer != nil && op.Peer.Compare || !op.lastWriter().isZero():
		return LevelIncarnation
	case t >= OpPeer:
		return 2
	default:
		return 1
	}
}

// lastWriter is the writer that stands at the end of an operation.
func (op *Op) lastWriter() *Writer {
	switch {
	case op.Link != nil:
		return &op.Link.Writer
	case op.SetChannel != nil:
		return &op.SetChannel.Writer
	case op.Take != nil:
		return &op.Take.Writer
	case op.Mint != nil:
		return &op.Mint.Writer
	default:
		return &Writer{}
	}
}

// LevelNeeded gives the lowest feature level that a replica needs to apply the operations.
func LevelNeeded(ops []Op) uint32 {
	level := uint32(1)
	for i := range ops {
		level = max(level, levelOf(&ops[i]))
	}
	return level
}

// Carries reports whether the operation takes in what another region sent: its entry may be larger.
func (op *Op) Carries() bool { return op.Type == OpImport || op.Type == OpReplace }

// Alone reports whether the operation goes alone into an entry: it may make any number of revisions in any shard, and the
// window of a proposer remembers of a group only which operations moved theirs by one.
func (op *Op) Alone() bool { return op.Carries() || op.Type == OpWalk }

// FeedBytes estimates, from above, what the parts of an operation of federation that may be large take of an entry.
func (op *Op) FeedBytes() int {
	const overhead = 512
	size := 0
	switch {
	case op.Import != nil:
		size = overhead + len(op.Import.Head) + len(op.Import.Document)
		for _, r := range op.Import.Records {
			size += binary.MaxVarintLen32 + len(r)
		}
	case op.Replace != nil:
		size = overhead + len(op.Replace.Target) + len(op.Replace.From) + len(op.Replace.To) + len(op.Replace.Document)
		for i := range op.Replace.Items {
			size += 2*binary.MaxVarintLen32 + len(op.Replace.Items[i].Key) + len(op.Replace.Items[i].Entry)
		}
	case op.Peer != nil:
		size = overhead + len(op.Peer.Value) + op.Peer.Writer.bytes()
	case op.Place != nil:
		size = overhead + len(op.Place.Value) + len(op.Place.Prefix) + len(op.Place.Name) + op.Place.Writer.bytes()
	case op.Take != nil:
		size = overhead + selectorBytes(op.Take.Selector) + op.Take.Writer.bytes()
	case op.SetChannel != nil:
		c := &op.SetChannel.Channel
		size = overhead + len(c.Name) + selectorBytes(c.Selector) + 16*len(c.Audience) + op.SetChannel.Writer.bytes()
	case op.Walk != nil:
		size = overhead + len(op.Walk.From)
	case op.Link != nil || op.Mint != nil:
		size = overhead + op.lastWriter().bytes()
	case op.Withdraw != nil:
		size = overhead + len(op.Withdraw.Document)
	case op.SetFence != nil:
		size = overhead + len(op.SetFence.Proof) + len(op.SetFence.Reason)
	}
	return size
}

// bytes is what the texts of a writer take.
func (w *Writer) bytes() int { return len(w.Actor) + len(w.Message) }

func selectorBytes(s Selector) int {
	size := 0
	for i := range s {
		size += 64 + len(s[i].Namespace) + len(s[i].Name)
	}
	return size
}

// MaxBytes gives the limit of an entry with the operations.
func MaxBytes(ops []Op) int {
	if len(ops) == 1 && ops[0].Carries() {
		return MaxImportBytes
	}
	return MaxEntryBytes
}
