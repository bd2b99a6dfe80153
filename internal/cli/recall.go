package cli

import (
	"bufio"
	"context"
	"encoding/json"
	spread "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) leaseRecallCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "recall LEASE",
		Short: "Ask a holder to give its seat back, with a token",
		Long: `Recall asks the holder of a lease to stop. A program with the SDK, and copyhold run,
hears of it at once by its next signed lease, has the time that the pool's plan gives
(30 s unless it says otherwise), and gives the seat back. It does not take another by
itself, and its next acquire comes after all who wait.

A holder that does not listen, or lies, keeps what was signed until it ends, as it also
could after a release: the answer names the time, and copyhold lease list shows it.`,
		Example: `  copyhold lease recall lse_01jd0000000000000000000000 --reason 'the night build needs it'
  copyhold lease recall lse_01jd0000000000000000000000 --token-file ./admin.token --output json`,
		Args: exactly("LEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), call{
				as: byToken, method: http.MethodPost, path: "/v1/leases/" + url.PathEscape(args[0]) + "/recall", body: map[string]any{"reason": reason},
			}, column{head: "LEASE", path: "id"}, column{head: "RECALLED", path: "recalled_at"}, column{head: "HOLDER STOPS", path: "until"},
				column{head: "FREE AT", path: "free_at"}, column{head: "WHY", path: "why"})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; the holder and the log are told")
	return cmd
}

// A recall is what a lease document tells of one.
type recall struct {
	Until  int64  `json:"until"`
	Reason string `json:"reason"`
}

// message tells people of r.
func (r recall) message() string {
	text := "the seat is recalled and given back at " + time.Unix(r.Until, 0).UTC().Format(time.RFC3339)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

// Pauses between two tries to hear of recalls.
const (
	listenAgain = 2 * time.Second
	listenLater = time.Minute
)

// hearRecalls sends the ids of leases that the server says are recalled, until ctx
// ends. An id proves nothing: the next renewal tells.
func (k *seatKeeper) hearRecalls(ctx context.Context, hints chan<- string) {
	for pause := listenAgain; ctx.Err() == nil; pause = min(2*pause, listenLater) {
		if err := k.server.followRecalls(ctx, hints); err == nil {
			pause = listenAgain // it was open, and ends now and then
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause + spread.N(pause)):
		}
	}
}

// followRecalls reads the stream of changes until it ends; nil says that it was open.
func (c *client) followRecalls(ctx context.Context, hints chan<- string) error {
	events, err := c.stream(ctx, call{as: byKey, method: http.MethodGet, path: "/v1/license/stream"})
	if err != nil {
		return err
	}
	defer events.Close()
	event := ""
	for lines := bufio.NewScanner(events); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "event":
			event = value
		case name == "data" && event == "recall":
			var of struct{ Lease string }
			if json.Unmarshal([]byte(value), &of) != nil {
				continue
			}
			select {
			case hints <- of.Lease:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// awaitRecall waits until the seat has to be given back, or the command is over. It
// counts from the lease's issue: this machine's clock may differ from the server's.
func (k *seatKeeper) awaitRecall(d leaseDates, over <-chan struct{}) {
	k.say(news{Recalled: true, Message: d.Recall.message()})
	stop := time.NewTimer(time.Duration(d.Recall.Until-d.IssuedAt) * time.Second)
	defer stop.Stop()
	select {
	case <-over:
	case <-stop.C:
		k.say(news{Message: "the seat is given back, as it was recalled"})
	}
}
