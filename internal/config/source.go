package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"supercluster/internal/fault"
)

// Sources says where values come from besides the defaults.
type Sources struct {
	// File is the path of a YAML or JSON file; empty: none.
	File string
	// Env is the environment as os.Environ gives it.
	Env []string
	// Flags holds the flags that were given, by name.
	Flags map[string][]string
}

// clientEnv are the variables of the command line's client verbs: they are no keys of a server.
var clientEnv = []string{"SERVER", "CONTEXT", "TENANT", "NAMESPACE", "CA", "CERT", "KEY"}

// Load reads the sources in their order. Warnings name variables that look like keys but are none.
func Load(src Sources) (s Server, warnings []string, err error) {
	s = Default()
	if src.File != "" {
		data, err := os.ReadFile(src.File)
		if err != nil {
			return s, nil, fault.Wrap(fault.Invalid, err, "cannot read the configuration file %s", src.File)
		}
		if err := readFile(&s, src.File, data); err != nil {
			return s, nil, err
		}
	}
	warnings, err = readEnv(&s, src.Env)
	if err != nil {
		return s, warnings, err
	}
	for _, f := range Fields() {
		values, ok := src.Flags[f.Flag]
		if !ok {
			continue
		}
		if err := f.set(&s, values); err != nil {
			return s, warnings, fault.Field("--"+f.Flag, "%v", err)
		}
	}
	return s, warnings, nil
}

// readEnv takes the variables that are keys. Others are no error: Kubernetes, for one, puts SUPERCLUSTER_PORT and
// the like into the environment beside a service of that name. One that is nearly a key gets a warning.
func readEnv(s *Server, env []string) (warnings []string, err error) {
	fields := Fields()
	var names []string
	for _, f := range fields {
		names = append(names, EnvName(f.Key))
	}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(clientEnv, strings.TrimPrefix(name, EnvPrefix)) {
			continue
		}
		i := slices.Index(names, name)
		if i < 0 {
			if near := nearestEnv(name, names); near != "" {
				warnings = append(warnings, fmt.Sprintf("%s is not read; did you mean %s?", name, near))
			}
			continue
		}
		values := []string{value}
		if fields[i].List() {
			values = splitList(value)
		}
		if err := fields[i].set(s, values); err != nil {
			return warnings, fault.Field(name, "%v", err)
		}
	}
	return warnings, nil
}

// nearestEnv compares what follows the prefix: what all names have in common would make every name near.
func nearestEnv(name string, names []string) string {
	known := make([]string, len(names))
	for i, n := range names {
		known[i] = strings.TrimPrefix(n, EnvPrefix)
	}
	near := Nearest(strings.TrimPrefix(name, EnvPrefix), known)
	if near == "" {
		return ""
	}
	return EnvPrefix + near
}

func splitList(value string) []string {
	var items []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
