package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	v1 "copyhold.dev/internal/v1"
)

// followEvery is how often follow checks for new entries when there are none.
const followEvery = 2 * time.Second

func (c *cli) auditFollowCommand() *cobra.Command {
	var wait, fromNow bool
	cmd := &cobra.Command{
		Use:   "follow NAME",
		Short: "Print the log entries that NAME has not read, one per line",
		Long: `Follow prints entries as lines of JSON, oldest first, and records on the server how far
NAME has read. The next call continues from there, on any machine. An entry counts as
read once it is printed. If the command is interrupted, the next call may repeat the last
lines: skip any entry whose hash you have already seen. If your program can fail after it
has read a line and must not miss any, use the API, which lets it confirm each entry.

Any number of names can follow one log, each at its own pace. Two programs that use the
same name interfere with each other, and the slower one fails with an error. A token
limited to one product or customer has its own separate names.`,
		Example: `  copyhold audit follow billing > new-entries.jsonl
  copyhold audit follow webhook --wait | while read -r entry; do echo "$entry"; done
  copyhold audit follow alerts --from-now`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := follower{c, "/v1/followers/" + url.PathEscape(args[0])}
			if fromNow {
				if err := f.begin(cmd.Context()); err != nil {
					return err
				}
			}
			return f.run(cmd.Context(), wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for new entries until interrupted")
	cmd.Flags().BoolVar(&fromNow, "from-now", false, "for a new NAME: skip the entries already in the log")
	return cmd
}

// A follower reads a server's log under a name.
type follower struct {
	*cli
	path string
}

// begin moves a new follower to the end of the log.
func (f follower) begin(ctx context.Context) error {
	a, err := f.do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/audit/head"})
	if err != nil {
		return err
	}
	var head v1.LogHead
	if err := a.Decode(&head); err != nil {
		return err
	}
	return f.move(ctx, v1.FollowerMove{To: head.Size})
}

func (f follower) move(ctx context.Context, m v1.FollowerMove) error {
	_, err := f.do(ctx, client.Call{As: client.ByToken, Method: http.MethodPost, Path: f.path + "/move", Body: m})
	return err
}

// run prints the unread entries and, with wait, new entries as they arrive.
func (f follower) run(ctx context.Context, wait bool) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		more, err := f.page(ctx)
		if err != nil || !more && !wait {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// page prints one page, records it as read and reports whether there is more.
func (f follower) page(ctx context.Context) (more bool, err error) {
	a, err := f.do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: f.path})
	if err != nil {
		return false, err
	}
	var page v1.FollowedPage
	if err := a.Decode(&page); err != nil {
		return false, err
	}
	out := json.NewEncoder(f.program.Stdout)
	out.SetEscapeHTML(false)
	for _, e := range page.Items {
		if err := out.Encode(e); err != nil { // the reader is gone, so the entries were not read
			return false, err
		}
	}
	if page.Next == page.Position {
		return false, nil
	}
	return page.More, f.move(ctx, v1.FollowerMove{From: page.Position, To: page.Next})
}
