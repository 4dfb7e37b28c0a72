package cli

import (
	"bytes"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/secrets/ca"
)

func (a *App) regionCommand() *cobra.Command {
	return group("region", "The identity of a region, and the regions that it is joined with",
		"  supercluster region init --out ./identity --name dc1\n  supercluster region peer ls",
		a.regionInitCommand(), a.peerCommand(), a.costCommand(), a.regionRenameCommand(), a.regionUnfenceCommand())
}

func (a *App) regionInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init --out FOLDER", Short: "Make the identity of a region: its id, feed key and CA; asks no server",
		Long: `Make the identity of a region and write it to a folder: ` + ca.RegionFile + `, ` + ca.CACertFile + `, and the private keys ` + ca.FeedKeyFile + ` and
` + ca.CAKeyFile + `, which only their owner can read. Make it once, before the first start, and copy the folder to every server of the
region, over a channel that keeps the keys secret. They are in no backup of the region: keep a copy.

No file is ever overwritten. With --region-id a region that exists gets a new feed key and CA.`,
		Example: `  supercluster region init --out /etc/supercluster/identity --name dc1
  supercluster region init --out ./dc2 --name dc2 --trust-domain mesh.example.org -o json`,
		Args: args(0, 0),
	}
	out := cmd.Flags().String("out", "", "folder for the files; it is made when there is none")
	name := cmd.Flags().String("name", "", "name of the region (default dc1)")
	domain := cmd.Flags().String("trust-domain", "", "trust domain of the servers' SPIFFE ids (default "+ca.DefaultTrustDomain+")")
	id := cmd.Flags().String("region-id", "", "id of the region, 32 hex digits; a region that is new needs none")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := checkOutput(a.flags.output); err != nil {
			return err
		}
		if *out == "" {
			return fault.Field("--out", "is missing: name a folder for the files")
		}
		options := ca.Options{Name: first(*name, "dc1"), TrustDomain: *domain, Now: time.Now()}
		if err := registry.RegionName("--name", options.Name); err != nil {
			return err
		}
		if *id != "" {
			var err error
			if options.RegionID, err = ca.ParseRegion(*id); err != nil {
				return fault.Field("--region-id", "%v", err)
			}
		}
		return a.initRegion(*out, options)
	}
	return cmd
}

// madeRegion is what `region init` prints. No private key is in it.
type madeRegion struct {
	RegionID      string            `json:"region_id"`
	Name          string            `json:"name"`
	TrustDomain   string            `json:"trust_domain"`
	CAFingerprint string            `json:"ca_fingerprint"`
	FeedKey       string            `json:"feed_public_key"`
	Files         map[string]string `json:"files"`
	Configuration map[string]any    `json:"configuration"`
}

func (a *App) initRegion(out string, options ca.Options) error {
	dir, err := filepath.Abs(out)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s is no folder", out)
	}
	id, err := ca.Init(dir, options)
	if err != nil {
		return err
	}
	p := ca.In(dir)
	made := madeRegion{
		RegionID: ca.RegionText(id.RegionID), Name: id.Name, TrustDomain: id.TrustDomain, CAFingerprint: id.Fingerprint(), FeedKey: id.Feed.String(),
		Files:         map[string]string{"region": p.Region, "feed-key": p.FeedKey, "ca-key": p.CAKey, "ca-cert": p.CACert},
		Configuration: map[string]any{"region": id.Name, "identity": map[string]string{"dir": dir}},
	}
	lines, err := yaml.Marshal(made.Configuration)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the configuration can not be printed")
	}
	var t table
	t.add("region", made.Name+" ("+made.RegionID+")")
	t.add("trust domain", made.TrustDomain)
	t.add("CA fingerprint", made.CAFingerprint)
	t.add("feed public key", made.FeedKey)
	for _, path := range []string{p.Region, p.CACert} {
		t.add("written", path)
	}
	for _, path := range []string{p.FeedKey, p.CAKey} {
		t.add("written", path+" (secret: 0600, in no backup of the region)")
	}
	t.note("\nIn the configuration of every server of the region:\n\n%s", bytes.TrimSpace(lines))
	return a.printPlain(made, &t)
}
