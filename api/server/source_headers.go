package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

// Headers of answers over HTTP that say what their `header` and the `source` of what they show say.
const (
	headerRegion      = "X-Supercluster-Region"
	headerNode        = "X-Supercluster-Node"
	headerRevision    = "X-Supercluster-Revision"
	headerIncarnation = "X-Supercluster-Incarnation"
	headerAge         = "X-Supercluster-Age"

	headerSources           = "X-Supercluster-Sources"
	headerSourceRegion      = "X-Supercluster-Source-Region"
	headerSourceRevision    = "X-Supercluster-Source-Revision"
	headerSourceIncarnation = "X-Supercluster-Source-Incarnation"
	headerSourceAge         = "X-Supercluster-Source-Age"
)

// ageUnknown is the age of a copy of which nobody knows it.
const ageUnknown = "unknown"

// setReadHeaders sets the headers of an answer to a read.
func setReadHeaders(_ context.Context, w http.ResponseWriter, msg proto.Message) error {
	answer, ok := msg.(interface{ GetHeader() *pb.ReadHeader })
	if !ok || answer.GetHeader() == nil {
		return nil
	}
	read, h := answer.GetHeader(), w.Header()
	h.Set(headerRegion, read.GetRegion())
	h.Set(headerNode, read.GetNode())
	setNumber(h, headerRevision, read.GetRevision())
	setNumber(h, headerIncarnation, read.GetIncarnation())
	h.Set(headerAge, ageText(read.GetAge().AsDuration()))
	shown := sourcesShown{own: read.GetRegion(), age: read.GetAge()}
	eachSource(msg, shown.add)
	shown.set(h)
	return nil
}

func setNumber(h http.Header, name string, n uint64) {
	if n != 0 {
		h.Set(name, strconv.FormatUint(n, 10))
	}
}

// ageText is an age as the body shows one: seconds.
func ageText(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

// sourcesShown gathers what an answer says of the regions whose records it shows, one source for each: the newest position
// and the greatest age. They are few.
type sourcesShown struct {
	own string // the region that answers
	age *durationpb.Duration
	all []*shownSource
}

type shownSource struct {
	region                string
	incarnation, revision uint64
	age                   time.Duration
	unknown               bool
}

func (s *sourcesShown) add(from *pb.Source) {
	if from.GetRegion() == "" {
		return
	}
	at := s.of(from.GetRegion())
	if later(from.GetIncarnation(), from.GetRevision(), at.incarnation, at.revision) {
		at.incarnation, at.revision = from.GetIncarnation(), from.GetRevision()
	}
	age := from.GetAge()
	if age == nil && at.region == s.own {
		age = s.age // the answer comes from a server of an earlier version, which says it there alone
	}
	at.age = max(at.age, age.AsDuration())
	at.unknown = at.unknown || age == nil
}

func (s *sourcesShown) of(region string) *shownSource {
	for _, one := range s.all {
		if one.region == region {
			return one
		}
	}
	one := &shownSource{region: region}
	s.all = append(s.all, one)
	return one
}

// set writes how many regions there are, and the one whose copy is the oldest: one of unknown age first, that which answers
// last. So what the headers say of a source holds together.
func (s *sourcesShown) set(h http.Header) {
	if len(s.all) == 0 {
		return
	}
	oldest := s.all[0]
	for _, one := range s.all[1:] {
		if one.older(oldest, s.own) {
			oldest = one
		}
	}
	h.Set(headerSources, strconv.Itoa(len(s.all)))
	h.Set(headerSourceRegion, oldest.region)
	setNumber(h, headerSourceRevision, oldest.revision)
	setNumber(h, headerSourceIncarnation, oldest.incarnation)
	if oldest.unknown {
		h.Set(headerSourceAge, ageUnknown)
		return
	}
	h.Set(headerSourceAge, ageText(oldest.age))
}

func (s *shownSource) older(o *shownSource, own string) bool {
	switch {
	case s.unknown != o.unknown:
		return s.unknown
	case (s.region == own) != (o.region == own):
		return o.region == own
	default:
		return s.age > o.age
	}
}

// eachSource calls fn with every source in the answer of a read.
func eachSource(msg proto.Message, fn func(*pb.Source)) {
	switch m := msg.(type) {
	case *pb.GetConfigResponse:
		fn(m.GetConfig().GetSource())
	case *pb.ListConfigsResponse:
		for _, c := range m.GetConfigs() {
			fn(c.GetSource())
		}
	case *pb.ListConfigHistoryResponse:
		for _, v := range m.GetVersions() {
			fn(v.GetConfig().GetSource())
		}
	case *pb.GetRouteResponse:
		fn(m.GetRoute().GetSource())
	case *pb.ListRoutesResponse:
		for _, r := range m.GetRoutes() {
			fn(r.GetSource())
		}
	case *pb.ListInstancesResponse:
		for _, i := range m.GetInstances() {
			fn(i.GetSource())
		}
	case *pb.GetServiceResponse:
		eachOfService(m, fn)
	case *pb.ListServicesResponse:
		for _, s := range m.GetServices() {
			for _, source := range s.GetSources() {
				fn(source)
			}
		}
	case *pb.LookupResponse:
		eachPlanned(m, fn)
	case *pb.ExplainResponse:
		eachExplained(m, fn)
	}
}

func eachOfService(m *pb.GetServiceResponse, fn func(*pb.Source)) {
	fn(m.GetService().GetSource())
	for _, i := range m.GetInstances() {
		fn(i.GetSource())
	}
	for _, s := range m.GetSummaries() {
		fn(s.GetSource())
	}
}

func eachPlanned(m *pb.LookupResponse, fn func(*pb.Source)) {
	for _, e := range m.GetEndpoints() {
		fn(e.GetSource())
	}
	for _, x := range m.GetExcluded() {
		fn(x.GetEndpoint().GetSource())
	}
}

func eachExplained(m *pb.ExplainResponse, fn func(*pb.Source)) {
	fn(m.GetDefinition().GetSource())
	for _, e := range m.GetEndpoints() {
		fn(e.GetEndpoint().GetSource())
		for _, r := range e.GetRecords() {
			fn(r.GetSource())
		}
	}
	for _, r := range m.GetRoutes() {
		fn(r.GetRecord().GetSource())
	}
}
