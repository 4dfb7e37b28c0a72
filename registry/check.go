package registry

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// Defaults and limits of checks.
const (
	DefaultInterval = 2 * time.Second
	DefaultTimeout  = time.Second
	DefaultRise     = 1
	DefaultFall     = 3
	DefaultTTL      = 15 * time.Second

	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
	minTimeout  = time.Millisecond
	minTTL      = time.Second
	maxTTL      = 24 * time.Hour
	maxStreak   = 10
)

// CheckTypeName is the short name of a type of check: the default id of such a check.
func CheckTypeName(t pb.CheckType) string {
	return strings.ToLower(strings.TrimPrefix(t.String(), "CHECK_TYPE_"))
}

// normalChecks checks the checks of an instance and gives them with defaults, ordered by id.
func normalChecks(field string, in []*pb.Check) ([]*pb.Check, error) {
	if len(in) > maxChecks {
		return nil, fault.Field(field, "has %d checks, the limit is %d", len(in), maxChecks)
	}
	out := make([]*pb.Check, 0, len(in))
	at := make(map[string]int, len(in))
	for i, c := range in {
		n, err := normalCheck(indexed(field, i), c)
		if err != nil {
			return nil, err
		}
		if first, twice := at[n.GetId()]; twice {
			return nil, fault.Field(indexed(field, i)+".id", "%q is the id of %s too", n.GetId(), indexed(field, first)).
				WithHint("give each check an id of its own")
		}
		at[n.GetId()] = i
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *pb.Check) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out, nil
}

// normalCheck checks one check and fills in its defaults.
func normalCheck(field string, in *pb.Check) (*pb.Check, error) {
	out := &pb.Check{
		Id: in.GetId(), Type: in.GetType(), Path: in.GetPath(), Port: in.GetPort(), Host: in.GetHost(),
		Interval: in.GetInterval(), Timeout: in.GetTimeout(), Rise: in.GetRise(), Fall: in.GetFall(), Ttl: in.GetTtl(),
	}
	if _, known := pb.CheckType_name[int32(in.GetType())]; !known || in.GetType() == pb.CheckType_CHECK_TYPE_UNSPECIFIED {
		return nil, fault.Field(field+".type", "%d is not a type of check", in.GetType()).
			WithHint("use http, tcp, grpc or ttl")
	}
	if out.Id == "" {
		out.Id = CheckTypeName(in.GetType())
	}
	if err := label(field+".id", out.Id); err != nil {
		return nil, err
	}
	if in.GetType() == pb.CheckType_CHECK_TYPE_TTL {
		return out, normalTTL(field, out)
	}
	return out, normalProbe(field, out)
}

// normalTTL checks a TTL check: it has a time to live and nothing that belongs to probes. One late heartbeat
// is enough, and so is one in time.
func normalTTL(field string, c *pb.Check) error {
	for _, f := range [...]struct {
		name string
		set  bool
	}{
		{"path", c.GetPath() != ""},
		{"port", c.GetPort() != 0},
		{"host", c.GetHost() != ""},
		{"interval", c.GetInterval() != nil},
		{"timeout", c.GetTimeout() != nil},
		{"rise", c.GetRise() > 1},
		{"fall", c.GetFall() > 1},
	} {
		if f.set {
			return fault.Field(field+"."+f.name, "belongs to checks that probe").
				WithHint("a ttl check has only `ttl`: it waits for heartbeats")
		}
	}
	c.Rise, c.Fall = 1, 1
	return duration(field+".ttl", &c.Ttl, DefaultTTL, minTTL, maxTTL)
}

// normalProbe checks a check that probes.
func normalProbe(field string, c *pb.Check) error {
	if c.GetTtl() != nil {
		return fault.Field(field+".ttl", "belongs to ttl checks").WithHint("use `interval`")
	}
	if err := duration(field+".interval", &c.Interval, DefaultInterval, minInterval, maxInterval); err != nil {
		return err
	}
	interval := c.GetInterval().AsDuration()
	if err := duration(field+".timeout", &c.Timeout, min(DefaultTimeout, interval), minTimeout, maxInterval); err != nil {
		return err
	}
	if timeout := c.GetTimeout().AsDuration(); timeout > interval {
		return fault.Field(field+".timeout", "%v is longer than the interval of %v", timeout, interval)
	}
	if err := streak(field+".rise", &c.Rise, DefaultRise); err != nil {
		return err
	}
	if err := streak(field+".fall", &c.Fall, DefaultFall); err != nil {
		return err
	}
	if c.GetPort() != 0 {
		if err := port(field+".port", c.GetPort()); err != nil {
			return err
		}
	}
	return normalTarget(field, c)
}

// normalTarget checks what a probe asks for: nothing of it may break out of a request line or header.
func normalTarget(field string, c *pb.Check) error {
	http := c.GetType() == pb.CheckType_CHECK_TYPE_HTTP
	if http && c.GetPath() == "" {
		c.Path = "/"
	}
	switch {
	case http && !strings.HasPrefix(c.GetPath(), "/"):
		return fault.Field(field+".path", "%s does not begin with `/`", shown(c.GetPath()))
	case c.GetType() == pb.CheckType_CHECK_TYPE_TCP && c.GetPath() != "":
		return fault.Field(field+".path", "belongs to http and grpc checks")
	case !http && c.GetHost() != "":
		return fault.Field(field+".host", "belongs to http checks")
	}
	if err := line(field+".path", c.GetPath(), maxPath); err != nil {
		return err
	}
	if strings.ContainsFunc(c.GetPath(), unicode.IsSpace) {
		return fault.Field(field+".path", "%s contains a space", shown(c.GetPath())).WithHint("write %%20")
	}
	if h := c.GetHost(); h != "" && !isHostPort(h) {
		return fault.Field(field+".host", "%s is not a host, with or without a port", shown(h))
	}
	return nil
}

// isHostPort reports whether s can stand in a Host header.
func isHostPort(s string) bool {
	if len(s) > maxHost {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isIDByte(c) && c != '[' && c != ']' || c == '@' {
			return false
		}
	}
	return true
}

func streak(field string, n *uint32, fallback uint32) error {
	if *n == 0 {
		*n = fallback
	}
	if *n > maxStreak {
		return fault.Field(field, "%d is above %d", *n, maxStreak)
	}
	return nil
}

// duration checks a time and fills in its default.
func duration(field string, d **durationpb.Duration, fallback, least, most time.Duration) error {
	if *d == nil {
		*d = durationpb.New(fallback)
		return nil
	}
	if err := (*d).CheckValid(); err != nil {
		return fault.Field(field, "is not a duration")
	}
	switch got := (*d).AsDuration(); {
	case got < least:
		return fault.Field(field, "%v is below %v", got, least)
	case got > most:
		return fault.Field(field, "%v is above %v", got, most)
	}
	return nil
}
