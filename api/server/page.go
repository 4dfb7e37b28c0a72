package server

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"

	"google.golang.org/protobuf/proto"

	"supercluster/internal/fault"
)

// Pages. A token says which list it continues, at which revision, and after which name. It is opaque to clients
// and worth nothing to others: it grants no access, and a changed one only makes another valid page or an error.
const (
	defaultPage  = 500
	tokenVersion = 1
)

// maxAnswer bounds the bytes of one answer below what gRPC clients take by default (4 MiB). A page that reaches it
// ends early; the next one goes on.
const maxAnswer = 3 << 20

// page is where a list continues.
type page struct {
	size     int
	revision uint64 // 0: the first page
	after    string
	list     uint64 // which list: a hash of what the request selects
}

// pageOf reads the paging fields of a request. selects is everything that decides which list this is.
func pageOf(size uint32, token string, selects ...string) (page, error) {
	h := fnv.New64a()
	for _, s := range selects {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	p := page{size: int(size), list: h.Sum64()}
	if p.size == 0 {
		p.size = defaultPage
	}
	if token == "" {
		return p, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 17 || raw[0] != tokenVersion {
		return p, badToken("it is not one that this server made")
	}
	if binary.BigEndian.Uint64(raw[1:]) != p.list {
		return p, badToken("it belongs to a request with other names or filters")
	}
	p.revision, p.after = binary.BigEndian.Uint64(raw[9:]), string(raw[17:])
	return p, nil
}

func badToken(why string) error {
	return fault.Field("page_token", "%s", why).WithHint("send next_page_token of the answer before, with the same request")
}

// next makes the token of the page after this one.
func (p page) next(revision uint64, last string) string {
	raw := make([]byte, 0, 17+len(last))
	raw = append(raw, tokenVersion)
	raw = binary.BigEndian.AppendUint64(raw, p.list)
	raw = binary.BigEndian.AppendUint64(raw, revision)
	raw = append(raw, last...)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// collect fills a page from a sequence in name order and gives the token of the next page, "" at the end.
func collect[In any, Out proto.Message](p page, revision uint64, seq func(func(In) bool), name func(In) string, convert func(In) Out) (out []Out, token string) {
	last, left := "", maxAnswer
	for in := range seq {
		n := name(in)
		if n <= p.after {
			continue
		}
		if len(out) == p.size || left <= 0 {
			return out, p.next(revision, last)
		}
		o := convert(in)
		out, last, left = append(out, o), n, left-proto.Size(o)
	}
	return out, ""
}
