package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"supercluster/internal/fault"
)

// MaxPayload bounds the request and the answer of a call: a call that is handed to the node that leads may be as large as
// one of the API.
const MaxPayload = 4 << 20

// request is one call on the node channel.
type request struct {
	id      uint64
	method  uint8
	timeout time.Duration // what is left of the caller's time; 0 for none
	payload []byte
}

func (r *request) encode() []byte {
	b := make([]byte, headerSize, headerSize+13+len(r.payload))
	b = binary.BigEndian.AppendUint64(b, r.id)
	b = append(b, r.method)
	ms := min(r.timeout.Milliseconds(), math.MaxUint32)
	b = binary.BigEndian.AppendUint32(b, uint32(max(ms, 0)))
	return sealFrame(append(b, r.payload...), frameRequest)
}

func decodeRequest(b []byte) (request, error) {
	d := decoder{b: b}
	r := request{id: d.u64(), method: d.u8(), timeout: time.Duration(d.u32()) * time.Millisecond}
	r.payload = d.rest()
	return r, d.done()
}

// response answers the request of the same id: with a payload, or with an error.
type response struct {
	id      uint64
	payload []byte
	err     *fault.Error
}

func (r *response) encode() []byte {
	b := make([]byte, headerSize, headerSize+64+len(r.payload))
	b = binary.BigEndian.AppendUint64(b, r.id)
	if r.err == nil {
		b = append(b, 0)
		return sealFrame(append(b, r.payload...), frameResponse)
	}
	b = append(b, 1, byte(r.err.Kind))
	b = binary.BigEndian.AppendUint64(b, r.err.Revision)
	b = binary.BigEndian.AppendUint64(b, uint64(r.err.RetryAfter))
	b = appendText(b, r.err.Field)
	b = appendText(b, r.err.Message)
	return sealFrame(appendText(b, r.err.Hint), frameResponse)
}

func decodeResponse(b []byte) (response, error) {
	d := decoder{b: b}
	r := response{id: d.u64()}
	if d.u8() == 0 {
		r.payload = d.rest()
		return r, d.done()
	}
	r.err = &fault.Error{Kind: fault.Kind(d.u8()), Revision: d.u64(), RetryAfter: time.Duration(d.u64())}
	r.err.Field, r.err.Message, r.err.Hint = d.text(), d.text(), d.text()
	return r, d.done()
}

// asFault gives the error of a handler the form in which it travels: kind and text, without the cause.
func asFault(err error) *fault.Error {
	var e *fault.Error
	if errors.As(err, &e) {
		return e
	}
	return fault.New(fault.KindOf(err), "%s", err.Error())
}
