package cli

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/internal/tlsfiles"
)

// contexts is the context file.
type contexts struct {
	Current  string           `json:"current"`
	Contexts map[string]place `json:"contexts"`
}

// place is what one context remembers.
type place struct {
	Server    string `json:"server"`
	Tenant    string `json:"tenant,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	CA        string `json:"ca,omitempty"`
	Cert      string `json:"cert,omitempty"`
	Key       string `json:"key,omitempty"`
}

// settings is what flags, environment and context say together.
type settings struct {
	servers           []string
	tenant, namespace string
	tls               tlsfiles.Files
}

// settings finds every value in the flags, then the environment, then the context.
func (a *App) settings() (settings, error) {
	var p place
	file, err := a.readContexts()
	if err != nil {
		return settings{}, err
	}
	name := first(a.flags.context, a.Getenv("SUPERCLUSTER_CONTEXT"), file.Current)
	if name != "" {
		var ok bool
		if p, ok = file.Contexts[name]; !ok {
			return settings{}, noContext(file, name)
		}
	}
	s := settings{
		tenant:    first(a.flags.tenant, a.Getenv("SUPERCLUSTER_TENANT"), p.Tenant),
		namespace: first(a.flags.namespace, a.Getenv("SUPERCLUSTER_NAMESPACE"), p.Namespace),
		tls: tlsfiles.Files{
			CA:   first(a.flags.ca, a.Getenv("SUPERCLUSTER_CA"), p.CA),
			Cert: first(a.flags.cert, a.Getenv("SUPERCLUSTER_CERT"), p.Cert),
			Key:  first(a.flags.key, a.Getenv("SUPERCLUSTER_KEY"), p.Key),
		},
	}
	for server := range strings.SplitSeq(first(a.flags.server, a.Getenv("SUPERCLUSTER_SERVER"), p.Server, defaultServer), ",") {
		if server = strings.TrimSpace(server); server != "" {
			s.servers = append(s.servers, server)
		}
	}
	if len(s.servers) == 0 {
		return s, fault.New(fault.Invalid, "no server is named").WithHint("--server takes host:port")
	}
	return s, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func noContext(file contexts, name string) error {
	known := slices.Sorted(maps.Keys(file.Contexts))
	e := fault.New(fault.NotFound, "there is no context %q", name)
	if near := config.Nearest(name, known); near != "" {
		return e.WithHint("did you mean %q?", near)
	}
	return e.WithHint("`supercluster context add %s --server HOST:PORT` makes it", name)
}

// contextPath is where contexts are kept, by the XDG rules.
func (a *App) contextPath() (string, error) {
	if dir := a.Getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "supercluster", "contexts.yaml"), nil
	}
	home := a.Getenv("HOME")
	if home == "" {
		return "", fault.New(fault.Invalid, "neither XDG_CONFIG_HOME nor HOME is set, so there is no place for contexts")
	}
	return filepath.Join(home, ".config", "supercluster", "contexts.yaml"), nil
}

func (a *App) readContexts() (contexts, error) {
	var file contexts
	path, err := a.contextPath()
	if err != nil {
		return file, nil // no place, no contexts
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err == nil {
		err = yaml.UnmarshalStrict(data, &file)
	}
	if err != nil {
		return file, fault.Wrap(fault.Invalid, err, "cannot read the context file %s", path)
	}
	return file, nil
}

// writeContexts replaces the context file; only its owner may read it.
func (a *App) writeContexts(file contexts) error {
	path, err := a.contextPath()
	if err != nil {
		return err
	}
	data, err := yaml.Marshal(file)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "contexts cannot be written")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(fault.Invalid, err, "cannot make a folder for the context file")
	}
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fault.Wrap(fault.Invalid, err, "cannot write the context file")
	}
	if err := os.Rename(next, path); err != nil {
		return fault.Wrap(fault.Invalid, err, "cannot replace the context file")
	}
	return nil
}

func (a *App) contextCommand() *cobra.Command {
	return group("context", "Remember servers by name", `  supercluster context add prod --server n1:8502,n2:8502 --ca ca.pem --cert me.pem --key me.key
  supercluster context use prod`, a.contextAddCommand(), a.contextListCommand(), a.contextUseCommand())
}

func (a *App) contextAddCommand() *cobra.Command {
	return &cobra.Command{
		Use: "add NAME", Short: "Add or replace a context from --server, --tenant, --namespace and the TLS flags; the first becomes the one in use",
		Example: "  supercluster context add prod --server n1:8502,n2:8502 --ca ca.pem --cert me.pem --key me.key",
		Args:    args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if a.flags.server == "" {
				return fault.New(fault.Invalid, "a context needs a server").WithHint("--server HOST:PORT")
			}
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			p := place{Server: a.flags.server, Tenant: a.flags.tenant, Namespace: a.flags.namespace}
			for _, f := range []struct {
				to   *string
				from string
			}{{&p.CA, a.flags.ca}, {&p.Cert, a.flags.cert}, {&p.Key, a.flags.key}} {
				if f.from == "" {
					continue
				}
				// A context is used from any folder.
				if *f.to, err = filepath.Abs(f.from); err != nil {
					return fault.Wrap(fault.Invalid, err, "the path %s cannot be made absolute", f.from)
				}
			}
			if file.Contexts == nil {
				file.Contexts = map[string]place{}
			}
			file.Contexts[args[0]] = p
			file.Current = first(file.Current, args[0])
			if err := a.writeContexts(file); err != nil {
				return err
			}
			a.say("context %s added", args[0])
			return nil
		},
	}
}

func (a *App) contextListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List contexts", Example: "  supercluster context ls", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			t := table{header: []string{"", "NAME", "SERVER", "TENANT", "NAMESPACE", "TLS"}}
			for _, name := range slices.Sorted(maps.Keys(file.Contexts)) {
				p, mark, secure := file.Contexts[name], "", "no"
				if name == file.Current {
					mark = "*"
				}
				if p.CA != "" || p.Cert != "" {
					secure = "yes"
				}
				t.add(mark, name, p.Server, first(p.Tenant, "default"), first(p.Namespace, "default"), secure)
			}
			return a.printPlain(file, &t)
		},
	}
}

func (a *App) contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Use a context from now on", Example: "  supercluster context use prod", Args: args(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			if _, ok := file.Contexts[args[0]]; !ok {
				return noContext(file, args[0])
			}
			file.Current = args[0]
			if err := a.writeContexts(file); err != nil {
				return err
			}
			a.say("context %s is in use", args[0])
			return nil
		},
	}
}
