package cli

import (
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"
)

func signingKeyColumns() []column {
	return []column{
		{head: "KEY", path: "kid"}, {head: "USE", path: "use"}, {head: "STATE", path: "state"}, {head: "SIGNS FROM", path: "sign_from"},
		{head: "SIGNS UNTIL", path: "sign_until"}, {head: "TRUSTED UNTIL", path: "trust_until"},
	}
}

func (c *cli) signingKeyCommand() *cobra.Command {
	return group("signing-key", "The keys that sign documents, and the root that signs for them", "  copyhold signing-key list",
		c.listCommand(listing{
			use: "list", short: "List signing keys with their three dates", example: "  copyhold signing-key list",
			path: "/v1/signing-keys", as: byToken, columns: signingKeyColumns(),
		}),
		c.signingKeyRotateCommand(), c.signingKeyWithdrawCommand(),
		group("root", "The offline key that signs key sets", "  copyhold signing-key root show",
			c.rootShowCommand(), c.rootExportCommand(), c.rootRemoveCommand()),
	)
}

func (c *cli) signingKeyRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rotate",
		Short:   "Let the next prepared key sign from now on; documents already signed stay good",
		Example: "  copyhold signing-key rotate",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.ask(cmd.Context(), call{as: byToken, method: http.MethodPost, path: "/v1/signing-keys/rotate"}, signingKeyColumns()...)
		},
	}
}

func (c *cli) signingKeyWithdrawCommand() *cobra.Command {
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "withdraw KEY",
		Short: "Stop trusting a signing key from now on, because it may be known to others",
		Long: `Withdraw publishes a key set in which the key is no longer trusted. Documents that
it signs from now on are refused everywhere; programs replace the older ones.`,
		Example: "  copyhold signing-key withdraw nZ0cXmQ3 --reason 'laptop stolen' --yes",
		Args:    exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(yes, "Programs will refuse what "+args[0]+" signs."); err != nil {
				return err
			}
			return c.ask(cmd.Context(), call{
				as: byToken, method: http.MethodPost, path: "/v1/signing-keys/" + url.PathEscape(args[0]) + "/withdraw",
				body: map[string]string{"reason": reason},
			}, signingKeyColumns()...)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	return cmd
}

func (c *cli) rootShowCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Show the root set, or write it to a file for pinning",
		Example: "  copyhold signing-key root show\n  copyhold signing-key root show --to root-set.json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.settings()
			if err != nil {
				return err
			}
			r := call{as: anonymous, method: http.MethodGet, path: "/v1/rootset"}
			if s.environment.value != "" {
				r.query = url.Values{"env": {s.environment.value}}
			}
			a, err := c.do(cmd.Context(), r)
			if err != nil {
				return err
			}
			if file == "" {
				return c.printJSON(a.body)
			}
			return c.done(os.WriteFile(file, append(a.body, '\n'), 0o644), "root set written to %s", file)
		},
	}
	cmd.Flags().StringVar(&file, "to", "", "write it to this file")
	return cmd
}

func (c *cli) rootExportCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "export --to FILE",
		Short: "Take the root's private part out, for safe-keeping",
		Long: `Export writes the root's private part to a new file that only you can read. Keep it
offline, in two places. Whoever has it can sign licenses for ever.`,
		Example: "  copyhold signing-key root export --to /media/safe/copyhold-root.key",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.do(cmd.Context(), call{as: byToken, method: http.MethodPost, path: "/v1/signing-keys/root/export"})
			if err != nil {
				return err
			}
			return c.done(writeSecret(file, string(a.body)), "the root's private part is in %s: keep it offline, then copyhold signing-key root remove", file)
		},
	}
	cmd.Flags().StringVar(&file, "to", "", "new file to write it to")
	required(cmd, "to")
	return cmd
}

func (c *cli) rootRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Remove the root's private part from the server, after it was exported",
		Long: `Remove takes the root's private part off the server. Two years of signing keys are
signed already, so the server goes on by itself; the root is needed again before
they end.`,
		Example: "  copyhold signing-key root remove --yes",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.confirm(yes, "The server will not be able to sign new key sets."); err != nil {
				return err
			}
			return c.ask(cmd.Context(), call{as: byToken, method: http.MethodPost, path: "/v1/signing-keys/root/remove"})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	return cmd
}
