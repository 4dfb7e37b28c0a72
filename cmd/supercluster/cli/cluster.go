package cli

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
)

func (a *App) statusCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Show how the server and its region are", Example: "  supercluster status\n  supercluster status -o json", Args: args(0, 0)}
	watch := watchFlag(cmd)
	hash := cmd.Flags().Bool("state-hash", false, "hash the state and its content, too: reads all of it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			s, err := c.cluster.GetStatus(ctx, &pb.GetStatusRequest{StateHash: *hash})
			if err != nil {
				return nil, err
			}
			return nil, a.print(s, func(t *table) { statusTable(t, s) })
		})
	}
	return cmd
}

func statusTable(t *table, s *pb.GetStatusResponse) {
	alarms := "none"
	if len(s.GetAlarms()) > 0 {
		alarms = strings.Join(s.GetAlarms(), ", ")
	}
	t.add("region", fmt.Sprintf("%s (%s)", s.GetRegion(), s.GetRegionId()))
	t.add("node", s.GetNode())
	t.add("leader", first(s.GetLeader(), "none known"))
	t.add("term, index", fmt.Sprintf("%d, %d", s.GetTerm(), s.GetAppliedIndex()))
	t.add("revision", fmt.Sprintf("%d (compacted %d, purged %d)", s.GetRevision(), s.GetCompactedRevision(), s.GetPurgedRevision()))
	if s.GetStateHash() != "" {
		t.add("state hash", s.GetStateHash())
		t.add("content hash", s.GetContentHash())
	}
	t.add("age", ageText(s.GetAge()))
	t.add("keys, bytes", fmt.Sprintf("%d, %d", s.GetKeys(), s.GetBytes()))
	t.add("alarms", alarms)
	t.add("backup", backupStatusText(s.GetBackup()))
	t.add("proxies", utoa(s.GetProxies()))
	t.add("started", timeText(s.GetStarted()))
	t.add("version", fmt.Sprintf("%s, feature level %d", s.GetVersion(), s.GetFeatureLevel()))
	if s.GetDev() {
		t.note("This is a development server: everybody may do everything, and its data may be temporary.")
	}
}

func backupStatusText(b *pb.BackupStatus) string {
	text := "none by this node since it started"
	if b.GetLast() != nil {
		text = fmt.Sprintf("%s, %s in %s", timeText(b.GetLast()), sizeText(b.GetSize()), ageText(b.GetTook()))
	}
	if b.GetFailures() > 0 {
		text += fmt.Sprintf("; %d not taken, the last at %s: %s", b.GetFailures(), timeText(b.GetFailed()), b.GetFailure())
	}
	return text
}

func (a *App) membersCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "members", Short: "List the nodes of the region", Example: "  supercluster members", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.cluster.ListMembers(ctx, &pb.ListMembersRequest{})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, r.GetMembers(), func(t *table) {
				t.header = []string{"NODE", "STATE", "ROLE", "HEARD", "GRPC", "HTTP", "RAFT", "PROXIES"}
				for _, m := range r.GetMembers() {
					t.add(memberRow(m)...)
				}
			})
		})
	}
	return cmd
}

func memberRow(m *pb.Member) []string {
	state, role, heard := "dead", "follower", ageText(m.GetLastHeard())
	if m.GetAlive() {
		state = "alive"
	}
	if m.GetLeader() {
		role = "leader"
	}
	if m.GetSelf() {
		heard = "self"
	}
	n := m.GetNode()
	return []string{n.GetName(), state, role, heard, orDash(n.GetGrpcAddress()), orDash(n.GetHttpAddress()), orDash(n.GetRaftAddress()), utoa(m.GetProxies())}
}

func (a *App) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program", Example: "  supercluster version -o json", Args: args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				System  string `json:"system"`
			}{a.Version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			t := table{}
			t.note("supercluster %s (%s, %s)", v.Version, v.Go, v.System)
			return a.printPlain(v, &t)
		},
	}
}
