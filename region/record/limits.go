package record

// Limits that every version judges alike. The answer that refuses something names its limit.
const (
	// FeatureLevel is the highest level of entries that this version applies.
	FeatureLevel uint32 = 4 + raised

	// MaxOps bounds the operations of an entry and of each list of a transaction.
	MaxOps = 1024
	// MaxEntryBytes bounds an encoded entry.
	MaxEntryBytes = 1536 << 10
	// MaxImportBytes bounds an encoded entry whose one operation takes in what another region sent.
	MaxImportBytes = 4 << 20
	// MaxRangeKeys bounds the records that one range delete, or one range inside a transaction, touches.
	MaxRangeKeys = 10_000
	// MaxReadBytes bounds what one transaction answers, MaxEntryReadBytes what all of an entry answer: every replica holds
	// the results of an entry in memory.
	MaxReadBytes      = 4 << 20
	MaxEntryReadBytes = 8 << 20
	// ReadOverhead is what a record in an answer counts beside its name, value and texts.
	ReadOverhead = 256
	// MaxRequestID bounds a request id.
	MaxRequestID = 64

	// WindowSize is how many groups of a proposer are remembered.
	WindowSize = 1024
	// MaxRequests is how many request ids of a tenant are remembered.
	MaxRequests = 100_000
	// RequestNanos is how long they are remembered, by the state clock.
	RequestNanos = int64(600e9)

	// MaxChannels bounds the channels of a region, MaxTerms those of a selector, MaxPlacements those of a namespace.
	MaxChannels   = 80
	MaxTerms      = 256
	MaxPlacements = 256
	// MaxWalk bounds the records of one step of a backfill or remap.
	MaxWalk = 1000

	// ConfigVersions is how many versions of a config record outlive compaction.
	ConfigVersions = 32
	// MaxHistoryBytes is the history of a tenant above which that of deleted config records goes, oldest first.
	MaxHistoryBytes = 256 << 20
)
