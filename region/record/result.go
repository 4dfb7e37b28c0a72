package record

import "encoding/binary"

const resultsFormat = 1

// Flags of a result.
const (
	resultDuplicate = 1 << 0
	resultTxn       = 1 << 1
	resultSucceeded = 1 << 2
)

// AppendResults appends the encoding of a result vector: the answer of an entry, one result for each operation.
func AppendResults(dst []byte, results []Result) []byte {
	dst = binary.AppendUvarint(append(dst, resultsFormat), uint64(len(results)))
	for i := range results {
		dst = appendResult(dst, &results[i])
	}
	return dst
}

func appendResult(dst []byte, r *Result) []byte {
	succeeded := r.Txn != nil && r.Txn.Succeeded
	dst = append(dst, byte(r.Status),
		flag(r.Duplicate, resultDuplicate)|flag(r.Txn != nil, resultTxn)|flag(succeeded, resultSucceeded))
	dst = binary.AppendUvarint(dst, r.Revision)
	dst = binary.AppendUvarint(dst, uint64(r.ID))
	dst = appendString(dst, r.Detail)
	if r.Txn == nil {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Txn.Ops)))
	for i := range r.Txn.Ops {
		op := &r.Txn.Ops[i]
		dst = binary.AppendUvarint(append(dst, flag(op.More, 1)), op.Count)
		dst = binary.AppendUvarint(dst, uint64(len(op.Records)))
		for j := range op.Records {
			dst = AppendRecord(dst, &op.Records[j])
		}
	}
	return dst
}

// DecodeResults reads a result vector. Values point into b.
func DecodeResults(b []byte) ([]Result, error) {
	c := cursor{b: b}
	if format := c.uint8(); !c.bad && format != resultsFormat {
		return nil, errUnsupported("a result vector has format %d", format)
	}
	results := make([]Result, c.count(5))
	txns := make([]TxnResult, len(results))
	for i := range results {
		c.result(&results[i], &txns[i])
	}
	if !c.end() {
		return nil, errCorrupt("a result vector of %d bytes does not parse", len(b))
	}
	return results, nil
}

// result reads a result; txn is for the answer of its transaction, if it is one.
func (c *cursor) result(r *Result, txn *TxnResult) {
	r.Status = Status(c.uint8())
	flags := c.uint8()
	r.Duplicate = flags&resultDuplicate != 0
	r.Revision = c.uint64()
	r.ID = c.uint32()
	r.Detail = c.string()
	if flags&resultTxn == 0 {
		return
	}
	r.Txn, txn.Succeeded = txn, flags&resultSucceeded != 0
	if n := c.count(3); n > 0 {
		r.Txn.Ops = make([]TxnOpResult, n)
	}
	for i := range r.Txn.Ops {
		op := &r.Txn.Ops[i]
		op.More = c.uint8() != 0
		op.Count = c.uint64()
		if n := c.count(minRecordSize); n > 0 {
			op.Records = make([]Record, n)
		}
		for j := range op.Records {
			op.Records[j] = c.record()
		}
	}
}

// minRecordSize is that of a record without a name and value.
const minRecordSize = 6 + 1 + 1 + 4

// AppendRecord appends a whole record: key, modify revision, then the length and bytes of its version row.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = appendCompactKey(dst, r.Key)
	dst = binary.AppendUvarint(dst, r.ModifyRevision)
	var small [256]byte
	row := AppendVersion(small[:0], r, 0)
	return appendBytes(dst, row)
}

// DecodeRecord reads a whole record from the front of b and gives what follows it. The value points into b.
func DecodeRecord(b []byte) (r Record, rest []byte, err error) {
	c := cursor{b: b}
	if r = c.record(); c.bad {
		return Record{}, nil, errCorrupt("a record does not parse")
	}
	return r, c.b, nil
}

func (c *cursor) record() (r Record) {
	r.Key = c.compactKey()
	r.ModifyRevision = c.uint64()
	row := c.bytes()
	if c.bad {
		return Record{}
	}
	if _, err := DecodeVersion(row, &r); err != nil {
		c.fail()
		return Record{}
	}
	return r
}

func appendCompactKey(dst []byte, k Key) []byte {
	return appendString(appendCompactHeader(dst, k.Shard, k.Tenant, k.Namespace, k.Kind, k.Scope), k.Name)
}

func appendCompactHeader(dst []byte, shard, tenant, namespace uint32, kind Kind, scope uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(shard))
	dst = binary.AppendUvarint(dst, uint64(tenant))
	dst = binary.AppendUvarint(dst, uint64(namespace))
	dst = binary.AppendUvarint(dst, uint64(kind))
	return binary.AppendUvarint(dst, uint64(scope))
}

func (c *cursor) compactKey() Key {
	return Key{
		Shard: c.uint32(), Tenant: c.uint32(), Namespace: c.uint32(), Kind: Kind(c.uint16()), Scope: c.uint32(),
		Name: c.string(),
	}
}
