package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func (c *cli) leaseRecallCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "recall LEASE",
		Short: "Ask a holder to release its lease",
		Long: `Recall asks the holder of a lease to stop, using a token. A program with the SDK, or
copyhold run, learns of the recall at once through its next signed lease. It has the time
that the pool's plan allows (30 s by default), and then releases the lease. It does not
acquire another lease on its own, and its next request goes to the end of the queue.

A holder that ignores the recall can keep using its signed lease until it expires, as it
could after a forced release. The answer and copyhold lease list show that time.`,
		Example: `  copyhold lease recall lse_01jd0000000000000000000000 --reason 'the night build needs it'
  copyhold lease recall lse_01jd0000000000000000000000 --token-file ./admin.token --output json`,
		Args: exactly("LEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.ask(cmd.Context(), client.Call{
				As: client.ByToken, Method: http.MethodPost, Path: "/v1/leases/" + url.PathEscape(args[0]) + "/recall", Body: map[string]any{"reason": reason},
			}, column{head: "LEASE", path: "id"}, column{head: "RECALLED", path: "recalled_at"}, column{head: "HOLDER STOPS", path: "until"},
				column{head: "FREE AT", path: "free_at"}, column{head: "WAITS FOR", path: "why"})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "reason, shown to the holder and recorded in the log")
	return cmd
}
