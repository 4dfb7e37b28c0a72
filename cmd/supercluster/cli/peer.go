package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func (a *App) peerCommand() *cobra.Command {
	return group("peer", "The regions that this one exchanges records with",
		"  supercluster region peer invite > dc1.invitation\n  supercluster region peer accept dc1.invitation\n  supercluster region peer ls",
		a.peerInviteCommand(), a.peerAcceptCommand(), a.peerListCommand(), a.peerRemoveCommand())
}

func (a *App) peerInviteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "invite", Short: "Make an invitation for one region and print it",
		Long: `Make an invitation for one region and print it, as JSON, or with -o yaml as YAML. It is used once, within its life. Who has it can join: carry it
over a channel that keeps it secret. What to do with it is said on the error output.`,
		Example: "  supercluster region peer invite > dc1.invitation\n  supercluster region peer invite --lifetime 1h -o yaml > dc1.yaml", Args: args(0, 0),
	}
	lifetime := cmd.Flags().Duration("lifetime", 0, "how long it may be used, at most 24h (default 10m)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.CreateInvitation(ctx, &pb.CreateInvitationRequest{Lifetime: optionalDuration(*lifetime)})
			if err != nil {
				return err
			}
			inv := r.GetInvitation()
			data, err := apiJSON(inv)
			if err != nil {
				return err
			}
			if err := a.printJSON(data); err != nil {
				return err
			}
			fmt.Fprintf(a.Err, `An invitation of region %s, for one region, until %s. Keep it secret until it is used.
fingerprint: %s
Next, in the other region: supercluster region peer accept FILE
It prints the fingerprint of region %[1]s; compare it with the one above.
`, inv.GetRegion(), timeText(inv.GetExpires()), inv.GetFingerprint())
			return nil
		})
	}
	return cmd
}

// readInvitation reads an invitation as `invite` printed it. What is wrong with it is not shown: it is a secret.
func (a *App) readInvitation(file string) (*pb.Invitation, error) {
	data, err := a.read(file)
	if err != nil {
		return nil, err
	}
	bad := fault.New(fault.Invalid, "%s holds no invitation", file).WithHint("`supercluster region peer invite` in the other region makes one")
	text, err := yaml.YAMLToJSON(data) // JSON is YAML
	if err != nil {
		return nil, bad
	}
	inv := &pb.Invitation{}
	if protojson.Unmarshal(text, inv) != nil || inv.GetRegionId() == "" {
		return nil, bad
	}
	return inv, nil
}

func (a *App) peerAcceptCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "accept FILE", Short: "Join this region with the one that made an invitation",
		Long: `Join this region with the one that made an invitation; - reads it from the standard input. It prints the fingerprint of the inviting region's CA:
it must be the one that ` + "`region peer invite`" + ` printed there.`,
		Example: "  supercluster region peer accept dc1.invitation\n  ssh dc1 supercluster region peer invite | supercluster region peer accept -", Args: args(1, 1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inv, err := a.readInvitation(args[0])
		if err != nil {
			return err
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.AcceptInvitation(ctx, &pb.AcceptInvitationRequest{Invitation: inv})
			if err != nil {
				return err
			}
			own, err := c.federation.GetFederation(ctx, &pb.GetFederationRequest{})
			if err != nil {
				own = &pb.GetFederationResponse{Fingerprint: "`supercluster federation status` shows it"} // the regions are joined
			}
			return a.print(r, func(t *table) {
				name := r.GetPeer().GetRegion().GetName()
				t.add("joined", fmt.Sprintf("%s (%s)", name, r.GetPeer().GetRegion().GetId()))
				t.add("its fingerprint", strings.Join(r.GetPeer().GetFingerprints(), ", "))
				t.add("our fingerprint", own.GetFingerprint())
				t.note("Region %s must say the same: supercluster region peer ls", name)
				t.note("Next, in both regions: supercluster tenant link NAME --region REGION --as NAME shows a tenant of the other one.")
			})
		})
	}
	return cmd
}

func (a *App) peerListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List the peers", Example: "  supercluster region peer ls", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.federation.ListPeers(ctx, &pb.ListPeersRequest{})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, r.GetPeers(), func(t *table) {
				t.header = []string{"REGION", "LINK", "AGE", "NOT-SHOWN", "ID", "ADDRESSES", "FINGERPRINT"}
				for _, p := range r.GetPeers() {
					x := p.GetRegion()
					t.add(x.GetName(), orDash(p.GetLink()), ageText(p.GetAge()), utoa(p.GetQuarantined()), x.GetId(), strings.Join(x.GetAddresses(), ","),
						strings.Join(p.GetFingerprints(), ","))
				}
				if len(r.GetPeers()) == 0 {
					t.note("there is no peer; `supercluster region peer invite` makes an invitation for one")
				}
			})
		})
	}
	return cmd
}

func (a *App) peerRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove REGION", Short: "End the exchange with a region; what came from it is no longer shown",
		Long: `End the exchange with a region: its servers are no longer trusted, and what came from it is no longer shown. Do the same there, for this region.
Joining again takes a new invitation.`,
		Example: "  supercluster region peer remove dc2", Args: args(1, 1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.RemovePeer(ctx, &pb.RemovePeerRequest{Region: args[0]})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("region %s is no peer any more; remove this region there too", args[0]) })
		})
	}
	return cmd
}

func (a *App) regionRenameCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rename NAME", Short: "Give this region another name; the old one stays an alias",
		Example: "  supercluster region rename eu-west", Args: args(1, 1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.RenameRegion(ctx, &pb.RenameRegionRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) {
				t.note("the region is called %s; also by its former names: %s", r.GetRegion().GetName(), orDash(strings.Join(r.GetRegion().GetAliases(), ", ")))
			})
		})
	}
	return cmd
}

func (a *App) regionUnfenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "unfence", Short: "End the fence of a region that found another living copy of itself",
		Long: `End the fence of a region that found another living copy of itself. Stop the other copy first: of two copies that both go on, each fences the
other again. ` + "`supercluster federation status`" + ` says whether and why the region is fenced.`,
		Example: "  supercluster region unfence", Args: args(0, 0),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.Unfence(ctx, &pb.UnfenceRequest{})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("the fence is gone; incarnation %d begins", r.GetIncarnation()) })
		})
	}
	return cmd
}
