package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func (a *App) federationCommand() *cobra.Command {
	channel := group("channel", "The channels of this region: what it offers to others",
		"  supercluster federation channel put all --class config --select config:shared/", a.channelPutCommand())
	return group("federation", "What is exchanged with other regions; `region peer` joins them",
		"  supercluster federation status\n  supercluster federation lag --watch\n  supercluster federation verify",
		a.federationStatusCommand(), a.linksCommand(), a.lagCommand(), a.channelsCommand(), a.verifyCommand(),
		channel, a.importCommand(), a.quarantineCommand())
}

func (a *App) federationStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show how this region stands with the others, and what is wrong",
		Example: "  supercluster federation status\n  supercluster federation status -o json", Args: args(0, 0),
	}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			s, err := c.federation.GetFederation(ctx, &pb.GetFederationRequest{})
			if err != nil {
				return nil, err
			}
			return nil, a.print(s, func(t *table) { federationTable(t, s) })
		})
	}
	return cmd
}

func federationTable(t *table, s *pb.GetFederationResponse) {
	r := s.GetRegion()
	t.add("region", fmt.Sprintf("%s (%s)", r.GetName(), r.GetId()))
	if len(r.GetAliases()) > 0 {
		t.add("former names", strings.Join(r.GetAliases(), ", "))
	}
	t.add("CA fingerprint", s.GetFingerprint())
	t.add("addresses", orDash(strings.Join(r.GetAddresses(), ", ")))
	t.add("incarnation", utoa(s.GetIncarnation()))
	t.add("fence", fenceText(s))
	for _, p := range s.GetPeers() {
		t.add("peer "+p.GetRegion().GetName(), fmt.Sprintf("link %s, age %s", first(p.GetLink(), "unknown"), ageText(p.GetAge())))
	}
	reachTable(t, s.GetReachability())
	t.add("not shown", utoa(s.GetQuarantined())+" records in quarantine")
	if h := s.GetHealing(); h != nil {
		t.add("healed", fmt.Sprintf("%s: %d records restored, %d kept as they were here; from revision %d, of which peers had seen %d",
			timeText(h.GetAt()), h.GetRestored(), h.GetKept(), h.GetRevision(), h.GetSeenRevision()))
		for _, u := range h.GetUnreachable() {
			t.note("not healed: %s", u)
		}
		for _, l := range h.GetLost() {
			t.note("not healed: %s", l)
		}
	}
	for _, d := range s.GetDisagreements() {
		t.note("region %s, %s: %s", d.GetRegion(), d.GetAbout(), d.GetProblem())
	}
	if len(s.GetPeers()) == 0 {
		t.note("There is no peer. `supercluster region peer invite` makes an invitation for one.")
	}
}

func fenceText(s *pb.GetFederationResponse) string {
	switch s.GetFence() {
	case pb.Fence_FENCE_NONE:
		return "none"
	case pb.Fence_FENCE_HEALING:
		return "healing from peers since " + timeText(s.GetFencedAt()) + ": " + s.GetFenceReason()
	case pb.Fence_FENCE_CLONE:
		return "another copy of this region lives, since " + timeText(s.GetFencedAt()) + ": " + s.GetFenceReason() +
			"; stop that copy, then `supercluster region unfence`"
	default:
		return "unknown"
	}
}

func (a *App) linksCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "links", Short: "List the links to other regions, and why one is down", Example: "  supercluster federation links --watch", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.federation.ListLinks(ctx, &pb.ListLinksRequest{})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, r.GetLinks(), func(t *table) {
				t.header = []string{"REGION", "STATE", "SINCE", "ADDRESS", "SERVER", "ROUND-TRIP", "IN", "OUT", "ATTEMPTS", "STALLS"}
				for _, l := range r.GetLinks() {
					t.add(l.GetRegion(), l.GetState(), timeText(l.GetSince()), orDash(l.GetAddress()), orDash(l.GetServer()), ageText(l.GetRoundTrip()),
						utoa(l.GetBytesIn()), utoa(l.GetBytesOut()), utoa(l.GetAttempts()), utoa(l.GetStalls()))
					if l.GetLastError() != "" && l.GetState() != "up" {
						t.note("%s: %s", l.GetRegion(), l.GetLastError())
					}
				}
				t.note("held by node %s", r.GetNode())
			})
		})
	}
	return cmd
}

// channelList shows channels that are wanted, in a form.
func (a *App) channelList(cmd *cobra.Command, watch bool, wanted func(*pb.ChannelStatus) bool, show func(*table, []*pb.ChannelStatus)) error {
	return a.poll(cmd, watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
		r, err := c.federation.ListChannels(ctx, &pb.ListChannelsRequest{})
		if err != nil {
			return nil, err
		}
		var all []*pb.ChannelStatus
		for _, s := range r.GetChannels() {
			if wanted(s) {
				all = append(all, s)
			}
		}
		return nil, printList(a, all, func(t *table) { show(t, all) })
	})
}

func (a *App) lagCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lag", Short: "Show how far what came from each region is behind, by class",
		Example: "  supercluster federation lag --watch", Args: args(0, 0),
	}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		foreign := func(s *pb.ChannelStatus) bool { return !s.GetOwn() }
		return a.channelList(cmd, *watch, foreign, func(t *table, all []*pb.ChannelStatus) {
			t.header = []string{"REGION", "CLASS", "CHANNEL", "SEQUENCE", "HEAD", "BEHIND", "AGE", "VIA", "STATE"}
			for _, s := range all {
				behind := s.GetHeadSequence() - min(s.GetSequence(), s.GetHeadSequence())
				t.add(s.GetRegion(), s.GetChannel().GetClass(), s.GetChannel().GetName(), utoa(s.GetSequence()), utoa(s.GetHeadSequence()), utoa(behind),
					ageText(s.GetAge()), orDash(s.GetVia()), channelState(s))
			}
			if len(all) == 0 {
				t.note("nothing came from another region yet; `supercluster federation links` says how the links are")
			}
		})
	}
	return cmd
}

func channelState(s *pb.ChannelStatus) string {
	switch {
	case s.GetWithdrawn():
		return "withdrawn"
	case s.GetResyncing():
		return "snapshot"
	case s.GetWalking():
		return "filling"
	case s.GetOwn():
		return "own"
	case s.GetVia() == "":
		return "no link"
	default:
		return "following"
	}
}

func (a *App) channelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "channels", Short: "List the channels of this region and those that it imports",
		Example: "  supercluster federation channels\n  supercluster federation channels -o json", Args: args(0, 0),
	}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		every := func(*pb.ChannelStatus) bool { return true }
		return a.channelList(cmd, *watch, every, func(t *table, all []*pb.ChannelStatus) {
			t.header = []string{"REGION", "ID", "CHANNEL", "CLASS", "FORM", "SEQUENCE", "RECORDS", "NOT-SHOWN", "STATE", "SELECTS", "FOR"}
			for _, s := range all {
				c := s.GetChannel()
				t.add(s.GetRegion(), utoa(c.GetId()), c.GetName(), c.GetClass(), c.GetProjection(), utoa(s.GetSequence()), utoa(s.GetRecords()),
					utoa(s.GetQuarantined()), channelState(s), selectorText(c.GetSelector()), first(strings.Join(c.GetAudience(), ","), "every peer"))
			}
			if len(all) == 0 {
				t.note("there is no channel; the first are made when the region gets a peer")
			}
		})
	}
	return cmd
}

func (a *App) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Compare every imported channel with its source; exit 0 only when all are equal",
		Long: `Compare every imported channel with its source: the digest that the source signed for a position, the digest that is kept here, and
that of the records that are here. A channel that is behind is waited for, until --timeout is nearly over. Exit code 0 means that every
imported channel equals its source, and 5 that one does not, or that its source did not answer.`,
		Example: "  supercluster federation verify\n  supercluster federation verify --timeout 2m", Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd, func(ctx context.Context, c *client) error {
				// Some of the time is kept for the answer, which says what was late.
				wait := a.flags.timeout - a.flags.timeout/5
				r, err := c.federation.Verify(ctx, &pb.VerifyRequest{Timeout: durationpb.New(wait)})
				if err != nil {
					return err
				}
				if err := a.print(r, func(t *table) { verifyTable(t, r) }); err != nil {
					return err
				}
				return unequal(r)
			})
		},
	}
}

func verifyTable(t *table, r *pb.VerifyResponse) {
	t.header = []string{"REGION", "CLASS", "CHANNEL", "RESULT", "SEQUENCE", "RECORDS", "DIGEST", "PROBLEM"}
	for _, x := range r.GetResults() {
		result, channel := "equal", "-"
		if !x.GetEqual() {
			result = "differs"
		}
		if x.GetChannel() != 0 {
			channel = utoa(x.GetChannel())
		}
		digest := x.GetDigest()
		t.add(x.GetRegion(), orDash(x.GetClass()), channel, result, utoa(x.GetSequence()), utoa(x.GetRecords()), orDash(digest[:min(16, len(digest))]), orDash(x.GetProblem()))
	}
	if len(r.GetResults()) == 0 {
		t.note("there is no peer, and so nothing to compare")
	}
}

// unequal is the error of a verification that found something.
func unequal(r *pb.VerifyResponse) error {
	bad := 0
	for _, x := range r.GetResults() {
		if !x.GetEqual() {
			bad++
		}
	}
	if bad == 0 && r.GetEqual() {
		return nil
	}
	return fault.New(fault.Conflict, "%d of %d results are not equal to their source", bad, len(r.GetResults())).
		WithHint("`supercluster federation lag` shows what is behind; run it again when nothing is")
}

func (a *App) channelPutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME --class CLASS", Short: "Make a channel of this region, or change what it selects and who may have it",
		Long: `Make a channel of this region, or change the one of that name and class: what it selects, and which regions may have it. A channel stays for
ever; one that is of no use is given a selector that picks nothing. Each region begins with one channel ` + "`all`" + ` of every class, of
everything, for every peer.

Classes: control, config, services, endpoints, summaries. Kinds in selectors: service, instance, check, check-status, route, config, summary.`,
		Example: `  supercluster federation channel put all --class config --select config:shared/
  supercluster federation channel put partner --class services --select service:api- --select service=web --audience dc3`,
		Args: args(1, 1),
	}
	channel := &pb.Channel{}
	f := cmd.Flags()
	f.StringVar(&channel.Class, "class", "", "control, config, services, endpoints or summaries")
	f.StringVar(&channel.Projection, "form", "", "full or summary (default full; of the class summaries, summary)")
	f.StringSliceVar(&channel.Audience, "audience", nil, "regions that may have it, by name or id; none is every peer")
	selects := selectFlag(cmd, "none selects everything")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if channel.Class == "" {
			return fault.Field("--class", "is missing").WithHint("one of control, config, services, endpoints, summaries")
		}
		if channel.Selector, err = selectorOf(*selects); err != nil {
			return err
		}
		channel.Name = args[0]
		if channel.Projection == "" && channel.Class == "summaries" {
			channel.Projection = "summary"
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			if err := findChannel(ctx, c, channel); err != nil {
				return err
			}
			r, err := c.federation.PutChannel(ctx, &pb.PutChannelRequest{Channel: channel})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) {
				x := r.GetChannel()
				t.note("channel %d, %s of class %s: selects %s, for %s", x.GetId(), x.GetName(), x.GetClass(),
					selectorText(x.GetSelector()), first(strings.Join(x.GetAudience(), ", "), "every peer"))
			})
		})
	}
	return cmd
}

// findChannel gives a channel the id of the one that has its name and class, if there is one.
func findChannel(ctx context.Context, c *client, channel *pb.Channel) error {
	r, err := c.federation.ListChannels(ctx, &pb.ListChannelsRequest{})
	for _, s := range r.GetChannels() {
		if s.GetOwn() && s.GetChannel().GetName() == channel.GetName() && s.GetChannel().GetClass() == channel.GetClass() {
			channel.Id = s.GetChannel().GetId()
		}
	}
	return err
}

func (a *App) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import REGION", Short: "Say what of a region's records is shown here",
		Long: `Say what of a region's records is shown here. All that the region offers is kept, whatever is selected, so that a change takes effect
without asking the region. Without --select everything is shown.`,
		Example: "  supercluster federation import dc2 --select service --select instance --select config:shared/\n  supercluster federation import dc2", Args: args(1, 1),
	}
	selects := selectFlag(cmd, "none shows everything")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		terms, err := selectorOf(*selects)
		if err != nil {
			return err
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.PutImport(ctx, &pb.PutImportRequest{Region: args[0], Selector: terms})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("of region %s is shown: %s", args[0], selectorText(terms)) })
		})
	}
	return cmd
}

func (a *App) quarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "List imported records that are kept and not shown, and why",
		Example: "  supercluster federation quarantine --limit 20", Args: args(0, 0),
	}
	limit := cmd.Flags().Int32("limit", 100, "how many to list, at most 1000")
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.federation.ListQuarantine(ctx, &pb.ListQuarantineRequest{Limit: *limit})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, r.GetRecords(), func(t *table) {
				t.header = []string{"REGION", "CHANNEL", "NAMESPACE", "KIND", "NAME", "REASON", "SEQUENCE"}
				for _, q := range r.GetRecords() {
					t.add(q.GetRegion(), utoa(q.GetChannel()), q.GetNamespace(), q.GetKind(), q.GetName(), q.GetReason(), utoa(q.GetSequence()))
				}
				t.note("%d in all", r.GetTotal())
			})
		})
	}
	return cmd
}

// optionalDuration is a duration for a request, absent when it is 0.
func optionalDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
