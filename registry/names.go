package registry

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"supercluster/internal/fault"
)

// Limits of names and texts, in bytes.
const (
	MaxLabel       = 63
	MaxInstanceID  = 128
	MaxConfigName  = 512
	MaxConfigValue = 1 << 20
	MaxTag         = 63
	MaxDescription = 1024
	MaxOutput      = 512

	maxHost          = 253
	maxPath          = 1024
	maxTags          = 32
	maxChecks        = 16
	maxPorts         = 32
	maxHosts         = 32
	maxMetadata      = 64
	maxMetadataKey   = 128
	maxMetadataValue = 4096
)

// Reserved words of DNS names: no namespace and no service has one of them as its name.
var reserved = [...]string{"global", "ns", "service"}

// shown quotes a name for a message, cut where it would flood it.
func shown(s string) string {
	const most = 80
	if len(s) <= most {
		return quote(s)
	}
	return quote(s[:most]) + "..."
}

// text refuses what no name or text may hold.
func text(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fault.Field(field, "%s is %d bytes long, the limit is %d", shown(s), len(s), limit)
	case !utf8.ValidString(s):
		return fault.Field(field, "%s is not valid UTF-8", shown(s))
	case strings.ContainsRune(s, 0):
		return fault.Field(field, "%s contains a NUL byte", shown(s))
	}
	return nil
}

// line is text without control characters.
func line(field, s string, limit int) error {
	if err := text(field, s, limit); err != nil {
		return err
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return fault.Field(field, "%s contains a control character", shown(s))
	}
	return nil
}

// label checks a DNS label: lower-case letters, digits and inner hyphens.
func label(field, s string) error {
	if s == "" {
		return fault.Field(field, "is empty")
	}
	if err := text(field, s, MaxLabel); err != nil {
		return err
	}
	if isLabel(s) {
		return nil
	}
	err := fault.Field(field, "%s is not a DNS label", shown(s))
	if lower := strings.ToLower(s); lower != s && isLabel(lower) {
		return err.WithHint("upper case is not allowed: use %q", lower)
	}
	return err.WithHint("use lower-case letters, digits and hyphens, with a letter or digit at both ends")
}

func isLabel(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-' && i > 0 && i < len(s)-1:
		default:
			return false
		}
	}
	return s != "" && len(s) <= MaxLabel
}

// unreservedLabel is a label that no DNS name uses for something else.
func unreservedLabel(field, s string) error {
	if err := label(field, s); err != nil {
		return err
	}
	if slices.Contains(reserved[:], s) {
		return fault.Field(field, "%q is a reserved word of DNS names", s).
			WithHint("reserved are global, ns and service")
	}
	return nil
}

// instanceID checks the id of an instance: what stands in URLs, DNS names and file names without escapes.
func instanceID(field, s string) error {
	if s == "" {
		return fault.Field(field, "is empty")
	}
	if err := text(field, s, MaxInstanceID); err != nil {
		return err
	}
	for i := range len(s) {
		if !isIDByte(s[i]) {
			return fault.Field(field, "%s contains %s", shown(s), quote(s[i:i+runeLen(s[i:])])).
				WithHint("use letters, digits and - . _ : @ + ~")
		}
	}
	if s == "." || strings.Contains(s, "..") {
		return fault.Field(field, "%s is a path, not an id: no `.` alone and no `..`", shown(s))
	}
	return nil
}

func isIDByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	default:
		return strings.IndexByte("-._:@+~", c) >= 0
	}
}

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// configName checks the name of a config entry: `/`-separated segments, none of them empty, `.` or `..`.
func configName(field, s string) error {
	if s == "" {
		return fault.Field(field, "is empty")
	}
	if err := line(field, s, MaxConfigName); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(s, "/") {
		switch segment {
		case "":
			return fault.Field(field, "%s has an empty segment", shown(s)).
				WithHint("no `/` at the ends and no `//`")
		case ".", "..":
			return fault.Field(field, "%s has the segment %q", shown(s), segment)
		}
	}
	return nil
}

// zone checks the name of a zone: any printable word, as clouds name theirs.
func zone(field, s string) error {
	if err := line(field, s, MaxLabel); err != nil {
		return err
	}
	if strings.ContainsFunc(s, unicode.IsSpace) || strings.ContainsRune(s, '/') {
		return fault.Field(field, "%s contains a space or a slash", shown(s))
	}
	return nil
}

// tags checks and sorts the tags of an instance.
func tags(field string, in []string) ([]string, error) {
	if len(in) > maxTags {
		return nil, fault.Field(field, "has %d tags, the limit is %d", len(in), maxTags)
	}
	for i, tag := range in {
		at := indexed(field, i)
		if tag == "" {
			return nil, fault.Field(at, "is empty")
		}
		if err := line(at, tag, MaxTag); err != nil {
			return nil, err
		}
	}
	sorted := slices.Sorted(slices.Values(in))
	return slices.Compact(sorted), nil
}

// metadata checks free pairs.
func metadata(field string, in map[string]string) error {
	if len(in) > maxMetadata {
		return fault.Field(field, "has %d pairs, the limit is %d", len(in), maxMetadata)
	}
	for _, key := range sortedKeys(in) {
		if key == "" {
			return fault.Field(field, "has an empty key")
		}
		if err := line(field, key, maxMetadataKey); err != nil {
			return err
		}
		if err := text(field+"["+key+"]", in[key], maxMetadataValue); err != nil {
			return err
		}
	}
	return nil
}

// port checks a port number.
func port(field string, n uint32) error {
	switch {
	case n == 0:
		return fault.Field(field, "0 is not a port").WithHint("use 1 to 65535")
	case n > 65535:
		return fault.Field(field, "%d is above 65535", n)
	}
	return nil
}

// address checks the address of an instance and gives its canonical text.
func address(field, s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, fault.Field(field, "is empty").WithHint("give the IP address of the instance")
	}
	if err := line(field, s, maxHost); err != nil {
		return netip.Addr{}, err
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, notAnAddress(field, s)
	}
	addr = addr.Unmap()
	switch {
	case addr.Zone() != "":
		return netip.Addr{}, fault.Field(field, "%s has a zone, which means something on one host only", shown(s))
	case addr.IsUnspecified():
		return netip.Addr{}, fault.Field(field, "%s is no address that clients can reach", s).
			WithHint("give the address of the instance, not the one it listens on")
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, fault.Field(field, "%s is not the address of one host", s)
	}
	return addr, nil
}

// notAnAddress guesses what somebody meant who gave something else than an IP address.
func notAnAddress(field, s string) error {
	if _, err := netip.ParseAddrPort(s); err == nil {
		return fault.Field(field, "%s has a port", shown(s)).WithHint("give the port in its own field")
	}
	if isHost(strings.ToLower(strings.TrimSuffix(s, "."))) {
		return fault.Field(field, "%s is a host name", shown(s)).
			WithHint("give the IP address: the registry resolves no names")
	}
	return fault.Field(field, "%s is not an IP address", shown(s))
}

// isHost reports whether s is a host name in lower case; underscores are taken, as browsers do.
func isHost(s string) bool {
	if s == "" || len(s) > maxHost {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if !isLabel(strings.ReplaceAll(part, "_", "x")) {
			return false
		}
	}
	return true
}
