package federation

import (
	"slices"
	"sync/atomic"
	"time"

	"supercluster/region/record"
	"supercluster/region/state"
)

// Watched says what a watch shows: records of a namespace, of one kind or (0) of all, whose names have a prefix.
type Watched struct {
	Tenant    uint32
	Namespace uint32
	Kind      record.Kind
	Prefix    string
}

// Standing is how far what is here of one other region goes, as far as a watch shows it.
type Standing struct {
	Region [16]byte
	// Incarnation and Revision: whatever the region wrote before is here. Zero while that is not known.
	Incarnation, Revision uint64
	// Heard is when, by this node's clock, the copy was last known not to be behind; zero: nobody knows.
	Heard    time.Time
	Channels []ChannelStanding
}

// ChannelStanding is how far one channel is here.
type ChannelStanding struct {
	Class, Name           string
	Incarnation, Sequence uint64
}

// standings is what the rows and ages said at one moment. It is never changed.
type standings struct {
	made    time.Time
	book    <-chan struct{} // closed when another home may be known since
	at      record.Positions
	regions []regionStanding
}

// holds reports whether the homes that are known now are those of the rows: rows from before a placement changed do not say
// that records are still gone through.
func (s *standings) holds() bool {
	select {
	case <-s.book:
		return false
	default:
		return true
	}
}

type regionStanding struct {
	id       [16]byte
	heard    time.Time
	tenants  []uint32 // of this region, that are linked to one of it
	channels []channelStanding
	// known are the classes of which a channel is here, or is kept from this region. unnamed: of one nobody knows the class,
	// since the first of it is under way.
	known   map[record.Class]bool
	unnamed bool
}

type channelStanding struct {
	class    record.Class
	name     string
	position record.FeedPosition
	revision uint64
	filling  bool // records that came before may be shown later
}

// standingFor is how long an answer is given again: marks of many watches cost one look at the rows.
const standingFor = 250 * time.Millisecond

// lastStandings keeps the newest; two who make it at once do no harm.
type lastStandings struct{ atomic.Pointer[standings] }

// Standing tells how far what is here of the other regions goes that a watch shows records of, and at which positions of
// this node it was so: it says nothing of a watch that was not given all of these yet.
func (f *Federation) Standing(w Watched) ([]Standing, record.Positions, error) {
	for {
		s, err := f.standingsNow()
		if err != nil {
			return nil, record.Positions{}, err
		}
		shown, homes := f.book.space(w.Tenant, w.Namespace) != nil, f.Homes(w.Tenant, w.Namespace, w.Prefix)
		switch {
		case !s.holds():
		case !shown:
			return nil, s.at, nil
		default:
			return s.of(w, homes), s.at, nil
		}
	}
}

// standingsNow gives what was read a moment ago, or reads it.
func (f *Federation) standingsNow() (*standings, error) {
	if s := f.standings.Load(); s != nil && time.Since(s.made) < standingFor && s.holds() {
		return s, nil
	}
	s, err := f.readStandings()
	if err == nil {
		f.standings.Store(s)
	}
	return s, err
}

// of gives the regions whose records a watch shows.
func (s *standings) of(w Watched, homes []Home) []Standing {
	var all []Standing
	for i := range s.regions {
		r := &s.regions[i]
		home := slices.ContainsFunc(homes, func(h Home) bool { return h.Region == r.id })
		if !slices.Contains(r.tenants, w.Tenant) {
			continue
		}
		if out := r.of(w.Kind, home); len(out.Channels) > 0 {
			all = append(all, out)
		}
	}
	return all
}

// of gives what a watch of a kind can show of the region. Records with one home come from there alone.
func (r *regionStanding) of(kind record.Kind, home bool) Standing {
	out := Standing{Region: r.id, Heard: r.heard}
	all := !r.unnamed
	for _, c := range catalogue {
		all = all && (r.known[c] || !brings(c, kind, home))
	}
	for _, c := range r.channels {
		if !brings(c.class, kind, home) {
			continue
		}
		i, first := c.position.Incarnation, len(out.Channels) == 0
		if first || i < out.Incarnation || i == out.Incarnation && c.revision < out.Revision {
			out.Incarnation, out.Revision = i, c.revision
		}
		out.Channels = append(out.Channels, ChannelStanding{className(c.class), c.name, i, c.position.Sequence})
		all = all && !c.filling && c.revision > 0
	}
	if !all {
		out.Incarnation, out.Revision = 0, 0
	}
	return out
}

// catalogue are the classes that bring what watches show in every region; a region has a channel of summaries if it likes.
var catalogue = [...]record.Class{record.ClassConfig, record.ClassServices, record.ClassEndpoints}

// brings reports whether channels of a class bring what a watch of a kind shows.
func brings(c record.Class, kind record.Kind, home bool) bool {
	if kind != 0 {
		if of, ok := record.ClassOf(kind); !ok || of != c {
			return false
		}
	}
	return c == record.ClassEndpoints || c == record.ClassSummaries || home && (c == record.ClassConfig || c == record.ClassServices)
}

// readStandings looks at the ages first: what is heard afterwards says nothing of the rows.
func (f *Federation) readStandings() (*standings, error) {
	ages := f.ages.snapshot()
	peers, changed := f.book.list()
	s := &standings{made: time.Now(), book: changed, regions: make([]regionStanding, 0, len(peers))}
	err := f.pinned(func(r state.Reader) (err error) {
		if s.at, err = state.PositionsOf(r); err != nil {
			return err
		}
		for _, p := range peers {
			one, err := f.readStanding(r, p)
			if err != nil {
				return err
			}
			if _, known := ages.of(p.id); known {
				one.heard = ages.at[p.id]
			}
			s.regions = append(s.regions, one)
		}
		return nil
	})
	return s, err
}

func (f *Federation) readStanding(r state.Reader, p *peer) (regionStanding, error) {
	out := regionStanding{id: p.id, known: map[record.Class]bool{}}
	links, err := state.Links(r, p.alias)
	if err != nil {
		return out, err
	}
	for _, l := range links {
		out.tenants = append(out.tenants, l.Tenant)
	}
	return out, state.EachFeedState(r, p.alias, func(channel uint32, s *record.FeedState) error {
		doc, err := record.DecodeChannelDocument(s.Document)
		if err != nil {
			out.unnamed = true
			return nil
		}
		out.known[doc.Channel.Class] = true
		if !doc.Channel.MayHave(f.cfg.Identity.RegionID) {
			return nil // nothing of it comes here any more
		}
		out.channels = append(out.channels, channelStanding{
			class: doc.Channel.Class, name: doc.Channel.Name, position: s.Position, filling: s.Walking,
			revision: max(s.Revision, f.ages.revision(channelName{p.id, channel}, s.Position)),
		})
		return nil
	})
}
