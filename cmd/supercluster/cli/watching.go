package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
)

// pollEvery is how often --watch asks for what has no events.
const pollEvery = time.Second

// view is what an `ls` or `get` shows. It gives the header of the answer; nil of what has no events.
type view func(ctx context.Context, c *client) (*pb.ReadHeader, error)

// watchFlag adds --watch to a command.
func watchFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("watch", "w", false, "show it again at every change, until interrupted")
}

// show shows a view once, or with watch again whenever records of its kind change.
func (a *App) show(cmd *cobra.Command, watch bool, kind pb.Kind, prefix string, v view) error {
	if !watch {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			_, err := v(ctx, c)
			return err
		})
	}
	return a.connect(func(c *client) error {
		r := a.redrawAtChanges(v)
		for {
			at, err := r.draw(cmd.Context(), c)
			if err != nil {
				return err
			}
			request := &pb.WatchRequest{
				Tenant: c.tenant, Namespace: c.namespace, Kind: kind, Prefix: prefix,
				FromRevision: at.GetRevision() + 1, FromIncarnation: at.GetIncarnation(),
			}
			err = follow(cmd.Context(), c, request, func(w *pb.WatchResponse) error {
				if len(w.GetEvents()) == 0 {
					return nil
				}
				return r.catchUp(cmd.Context(), c, w.GetRevision())
			})
			if fault.KindOf(err) != fault.Compacted || !sleep(cmd.Context(), pollEvery) {
				return err
			}
		}
	})
}

// poll is show for what has no events.
func (a *App) poll(cmd *cobra.Command, watch bool, v view) error {
	if !watch {
		return a.show(cmd, false, 0, "", v)
	}
	return a.connect(func(c *client) error {
		r := &redraw{app: a, view: v}
		for {
			if _, err := r.draw(cmd.Context(), c); err != nil {
				return err
			}
			if !sleep(cmd.Context(), pollEvery) {
				return cmd.Context().Err()
			}
		}
	})
}

// redraw prints a view again when it looks different.
type redraw struct {
	app  *App
	view view
	// ageless: other ages alone do not look different. A view that is drawn at changes would be shown for changes of anything else.
	ageless bool
	drawn   bool
	last    []byte
}

// redrawAtChanges makes the redraw of a view that is drawn when a record changed. A table may be a value as it is.
func (a *App) redrawAtChanges(v view) *redraw {
	return &redraw{app: a, view: v, ageless: a.flags.output != outputTable}
}

// agesShown are the ages in an answer in JSON or YAML.
var agesShown = regexp.MustCompile(`"?age"?: "?[0-9.]+s"?`)

// catchUp draws until the answer shows a revision: an event may arrive before the view that lists are answered
// from, and another server may be behind.
func (r *redraw) catchUp(ctx context.Context, c *client, want uint64) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, pollEvery) {
		got, err := r.draw(ctx, c)
		if err != nil || got.GetRevision() >= want {
			return err
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

func (r *redraw) draw(ctx context.Context, c *client) (*pb.ReadHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, r.app.flags.timeout)
	defer cancel()
	out := r.app.Out
	var now bytes.Buffer
	r.app.Out = &now
	at, err := r.view(ctx, c)
	r.app.Out = out
	look := now.Bytes()
	if r.ageless {
		look = agesShown.ReplaceAll(look, nil)
	}
	if err != nil || r.drawn && bytes.Equal(look, r.last) {
		return at, err
	}
	if r.app.flags.output == outputTable && r.drawn {
		if r.app.terminal {
			fmt.Fprint(out, "\x1b[H\x1b[2J")
		} else {
			fmt.Fprintln(out)
		}
	}
	r.drawn, r.last = true, bytes.Clone(look)
	_, err = out.Write(now.Bytes())
	return at, writeError(err)
}

// follow calls fn with every answer of a watch. When the stream ends because a server went away it goes on with
// the next one, from where it stood.
func follow(ctx context.Context, c *client, request *pb.WatchRequest, fn func(*pb.WatchResponse) error) error {
	pause := firstPause
	for {
		err := followOnce(ctx, c, request, fn, func() { pause = firstPause })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch fault.KindOf(err) {
		case fault.Unavailable, fault.SlowConsumer, fault.Busy:
		default:
			return err
		}
		if request.FromRevision == 0 || pause > 8*time.Second {
			return err // nothing was seen yet, or nobody came back for a while
		}
		c.pool.at = (c.pool.at + 1) % len(c.pool.conns)
		if !sleep(ctx, jitter(pause)) {
			return ctx.Err()
		}
		pause *= 2
	}
}

func followOnce(ctx context.Context, c *client, request *pb.WatchRequest, fn func(*pb.WatchResponse) error, alive func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.watches.Watch(ctx, request)
	if err != nil {
		return status.FromGRPC(err)
	}
	for {
		w, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return fault.New(fault.Unavailable, "the server ended the stream")
		}
		if err != nil {
			return c.pool.explain(err, false)
		}
		alive()
		if err := fn(w); err != nil {
			return err
		}
		if w.GetRevision() > 0 {
			request.FromRevision, request.FromIncarnation = w.GetRevision()+1, w.GetIncarnation()
		}
	}
}

// watchCommand makes a command that prints the events of kinds whose names match its argument, as they happen.
func (a *App) watchCommand(use, short, example string, kinds []pb.Kind, match func(name, arg string) bool) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: args(0, 1)}
	from := cmd.Flags().Uint64("from-revision", 0, "first revision wanted; 0 starts after the newest")
	life := cmd.Flags().Uint64("from-incarnation", 0, "the incarnation of the region that --from-revision is of, as the last event or answer said; 0 judges nothing")
	progress := cmd.Flags().Bool("progress", false, "also show progress marks: how far the watch has come, here and with each other region")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		arg := strings.Join(args, "")
		wanted := func(e *pb.Event) bool {
			return slices.Contains(kinds, e.GetKind()) && (arg == "" || match(e.GetName(), arg))
		}
		return a.connect(func(c *client) error {
			request := &pb.WatchRequest{Tenant: c.tenant, Namespace: c.namespace, Prefix: arg, FromRevision: *from, FromIncarnation: *life}
			if len(kinds) == 1 {
				request.Kind = kinds[0]
			}
			return follow(cmd.Context(), c, request, func(w *pb.WatchResponse) error {
				return a.printEvents(w, wanted, *progress)
			})
		})
	}
	return cmd
}

func (a *App) printEvents(w *pb.WatchResponse, wanted func(*pb.Event) bool, progress bool) error {
	w.Events = slices.DeleteFunc(w.Events, func(e *pb.Event) bool { return !wanted(e) })
	events := w.Events
	if len(events) == 0 && (!progress || !w.GetProgress()) {
		return nil
	}
	if a.flags.output != outputTable {
		return a.printLine(w)
	}
	for _, e := range events {
		_, err := fmt.Fprintf(a.Out, "%d  %-6s  %-12s  %s%s\n", w.GetRevision(), eventText(e), kindText(e.GetKind()), e.GetName(), eventDetail(e))
		if err != nil {
			return writeError(err)
		}
	}
	if len(events) == 0 {
		_, err := fmt.Fprintf(a.Out, "%d  progress%s\n", w.GetRevision(), marksText(w.GetSources()))
		return writeError(err)
	}
	return nil
}

// marksText says how far a watch has come with other regions, and how old that is.
func marksText(all []*pb.SourcePosition) string {
	var b strings.Builder
	for _, s := range all {
		at := "?"
		if s.GetRevision() > 0 {
			at = strconv.FormatUint(s.GetRevision(), 10)
		}
		fmt.Fprintf(&b, "  %s@%s %s", s.GetRegion(), at, ageText(s.GetAge()))
	}
	return b.String()
}

func eventText(e *pb.Event) string {
	if e.GetType() == pb.Event_TYPE_DELETE {
		return "delete"
	}
	return "put"
}

// eventDetail is what of a value stands in a line.
func eventDetail(e *pb.Event) string {
	switch v := e.GetValue().(type) {
	case *pb.Event_Instance:
		return fmt.Sprintf("  %s:%d", v.Instance.GetAddress(), v.Instance.GetPort())
	case *pb.Event_CheckStatus:
		return fmt.Sprintf("  %s  %s", healthText(v.CheckStatus.GetHealth()), v.CheckStatus.GetOutput())
	case *pb.Event_Route:
		return "  to " + v.Route.GetService()
	case *pb.Event_Config:
		return fmt.Sprintf("  %s, %d bytes", formatText(v.Config.GetFormat()), len(v.Config.GetValue()))
	case *pb.Event_Summary:
		return fmt.Sprintf("  %s: %s", e.GetMeta().GetRegion(), capacityText(v.Summary))
	default:
		return ""
	}
}
