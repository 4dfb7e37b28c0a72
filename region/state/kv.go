package state

// Reader reads ordered rows.
type Reader interface {
	// Get finds one row. The value is valid until the next call on the Reader and must not be changed.
	Get(key []byte) (value []byte, found bool, err error)
	// First finds the first row in [from, to). It is the hot primitive: the newest version of a record is one First.
	// Key and value are valid until the next call on the Reader and must not be changed.
	First(from, to []byte) (key, value []byte, found bool, err error)
	// Scan reads the rows in [from, to) in key order, or against it. A nil to has no upper end.
	Scan(from, to []byte, reverse bool) (Iterator, error)
}

// Iterator walks rows. It starts before the first one. Rows written after Scan may or may not be seen.
type Iterator interface {
	Next() bool
	// Key and Value are valid until the next call of Next or Close.
	Key() []byte
	Value() []byte
	// Close gives the first error met, also by Next.
	Close() error
}

// KV is what Apply writes to: rows written are seen by reads that follow. All rows of one entry become durable
// together or not at all; that is the owner's part.
type KV interface {
	Reader
	// GetAll finds many rows: it calls fn with the place of each key in keys, which ascend. It costs little where no rows are
	// between them. The value is valid until fn returns and must not be changed; fn does not use the KV.
	GetAll(keys [][]byte, fn func(i int, value []byte, found bool) error) error
	// Foresee says that First will be asked for all versions of the records with these prefixes, which ascend. It changes no
	// answer: whoever can find many at once better than one after the other does.
	Foresee(prefixes [][]byte) error
	// Set and Delete copy what they are given. Deleting a missing row is no error.
	Set(key, value []byte) error
	Delete(key []byte) error
}
