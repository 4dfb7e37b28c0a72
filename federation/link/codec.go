package link

import (
	"runtime"

	"github.com/klauspost/compress/zstd"

	"supercluster/internal/fault"
)

// packFrom is the least size worth compressing.
const packFrom = 512

// packWindow bounds what encoder and decoder look back on, and so the memory of both.
const packWindow = 1 << 20

// codec compresses whole messages. It is shared by all connections of an endpoint.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec(maxMessage int) (*codec, error) {
	workers := runtime.GOMAXPROCS(0)
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(packWindow),
		zstd.WithEncoderConcurrency(workers), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(false))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no compression")
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(workers), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(uint64(maxMessage)), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no decompression")
	}
	return &codec{encoder: e, decoder: d}, nil
}

// pack compresses a message when that is worthwhile.
func (c *codec) pack(body []byte) (packed []byte, ok bool) {
	if len(body) < packFrom {
		return body, false
	}
	packed = c.encoder.EncodeAll(body, make([]byte, 0, len(body)))
	if len(packed) >= len(body) {
		return body, false
	}
	return packed, true
}

// unpack gives back a message of the size announced; the size bounds what is allocated.
func (c *codec) unpack(packed []byte, size int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return nil, fault.Wrap(fault.Corrupt, err, "message does not decompress")
	}
	switch {
	case h.Skippable || !h.HasFCS || h.FrameContentSize != uint64(size):
		return nil, fault.New(fault.Corrupt, "compressed message of another size than the %d bytes announced", size)
	case !h.SingleSegment && h.WindowSize > packWindow:
		return nil, fault.New(fault.TooLarge, "compressed message looks back %d bytes, over the limit of %d", h.WindowSize, packWindow)
	case len(packed) >= size:
		return nil, fault.New(fault.Corrupt, "compressed message is not smaller than the %d bytes announced", size)
	}
	body, err := c.decoder.DecodeAll(packed, make([]byte, 0, size))
	if err != nil {
		return nil, fault.Wrap(fault.Corrupt, err, "message does not decompress")
	}
	if len(body) != size {
		return nil, fault.New(fault.Corrupt, "message of %d bytes where %d were announced", len(body), size)
	}
	return body, nil
}

func (c *codec) close() {
	_ = c.encoder.Close()
	c.decoder.Close()
}
