package cli

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// checkHelp says how --check is written.
const checkHelp = "health check: http:/PATH, tcp, tcp:PORT, grpc, grpc:SERVICE or ttl:15s; may be given several times"

// checkOptions are the flags that hold for every check of a registration.
type checkOptions struct {
	interval, timeout time.Duration
	rise, fall        uint32
}

// parseChecks reads every --check of an instance.
func parseChecks(address string, specs []string, o checkOptions) ([]*pb.Check, error) {
	var checks []*pb.Check
	used := map[string]int{}
	for _, spec := range specs {
		c, err := parseCheck(address, spec)
		if err != nil {
			return nil, err
		}
		// Ids are the type's name; the second of a type gets a number, so that a registration can have several.
		c.Id = strings.ToLower(strings.TrimPrefix(c.Type.String(), "CHECK_TYPE_"))
		if used[c.Id]++; used[c.Id] > 1 {
			c.Id += "-" + itoa(used[c.Id])
		}
		if c.Type != pb.CheckType_CHECK_TYPE_TTL {
			c.Interval, c.Timeout = durationOf(o.interval), durationOf(o.timeout)
			c.Rise, c.Fall = o.rise, o.fall
		}
		checks = append(checks, c)
	}
	return checks, nil
}

func durationOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func parseCheck(address, spec string) (*pb.Check, error) {
	kind, rest, _ := strings.Cut(spec, ":")
	switch kind {
	case "http":
		return parseHTTPCheck(address, spec, rest)
	case "tcp":
		c := &pb.Check{Type: pb.CheckType_CHECK_TYPE_TCP}
		if rest != "" {
			port, err := strconv.ParseUint(rest, 10, 16)
			if err != nil || port == 0 {
				return nil, badCheck(spec, "the port %q is not between 1 and 65535", rest)
			}
			c.Port = uint32(port)
		}
		return c, nil
	case "grpc":
		return &pb.Check{Type: pb.CheckType_CHECK_TYPE_GRPC, Path: rest}, nil
	case "ttl":
		ttl, err := time.ParseDuration(rest)
		if err != nil {
			return nil, badCheck(spec, "%q is not a duration such as 15s", rest)
		}
		return &pb.Check{Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: durationpb.New(ttl)}, nil
	default:
		return nil, badCheck(spec, "%q is not one of http, tcp, grpc, ttl", kind)
	}
}

// parseHTTPCheck takes http:/path, and http://address:port/path when the address is the instance's own.
func parseHTTPCheck(address, spec, rest string) (*pb.Check, error) {
	c := &pb.Check{Type: pb.CheckType_CHECK_TYPE_HTTP, Path: first(rest, "/")}
	if !strings.HasPrefix(rest, "//") {
		if !strings.HasPrefix(c.Path, "/") {
			return nil, badCheck(spec, "the path %q does not begin with /", c.Path)
		}
		return c, nil
	}
	u, err := url.Parse(spec)
	if err != nil {
		return nil, badCheck(spec, "it is no URL")
	}
	if own, other := net.ParseIP(address), net.ParseIP(u.Hostname()); own == nil || !own.Equal(other) {
		return nil, badCheck(spec, "checks go to the instance's own address, %s", address)
	}
	c.Path = first(u.RequestURI(), "/")
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return nil, badCheck(spec, "the port %q is not between 1 and 65535", u.Port())
		}
		c.Port = uint32(port)
	}
	return c, nil
}

func badCheck(spec, format string, args ...any) error {
	return fault.Field("--check", "%q: "+format, append([]any{spec}, args...)...).WithHint("%s", checkHelp)
}
