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
			return c.ask(cmd.Context(), client.Call{
				As: client.ByToken, Method: http.MethodPost, Path: "/v1/leases/" + url.PathEscape(args[0]) + "/recall", Body: map[string]any{"reason": reason},
			}, column{head: "LEASE", path: "id"}, column{head: "RECALLED", path: "recalled_at"}, column{head: "HOLDER STOPS", path: "until"},
				column{head: "FREE AT", path: "free_at"}, column{head: "WHY", path: "why"})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; the holder and the log are told")
	return cmd
}
