package cli

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
)

func signingKeyColumns() []column {
	return []column{
		{head: "KEY", path: "kid"}, {head: "USE", path: "use"}, {head: "STATE", path: "state"}, {head: "SIGNS FROM", path: "sign_from"},
		{head: "SIGNS UNTIL", path: "sign_until"}, {head: "TRUSTED UNTIL", path: "trust_until"},
	}
}

func (c *cli) signingKeyCommand() *cobra.Command {
	return group("signing-key", "Manage the keys that sign documents, and the roots above them", "  copyhold signing-key list",
		c.signingKeyListCommand(), c.signingKeyRotateCommand(), c.signingKeyWithdrawCommand(),
		group("set", "Show the key set: the keys in force, signed by the root", "  copyhold signing-key set show", c.keySetShowCommand()),
		group("root", "Manage the offline roots that sign key sets", "  copyhold signing-key root show",
			c.rootShowCommand(), c.rootExportCommand(), c.rootRemoveCommand(), c.rootImportCommand(),
			c.rootNewCommand(), c.rootMakeCommand(), c.rootSignCommand(), c.rootInstallCommand()),
	)
}

func (c *cli) signingKeyListCommand() *cobra.Command {
	var use string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List keys with their use and dates",
		Example: "  copyhold signing-key list\n  copyhold signing-key list --use document",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch licensing.KeyUse(use) {
			case "", licensing.DocumentKey, licensing.RootKey, licensing.LogKey:
			default:
				return usageError(cmd, "--use must be document, root or log")
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/signing-keys"})
			if err != nil {
				return err
			}
			var all, chosen client.Page
			if err := a.Decode(&all); err != nil {
				return err
			}
			chosen.Items = []json.RawMessage{}
			for _, key := range all.Items {
				if use == "" || string(client.Member(key, "use")) == strconv.Quote(use) {
					chosen.Items = append(chosen.Items, key)
				}
			}
			return c.printList(chosen, signingKeyColumns()...)
		},
	}
	cmd.Flags().StringVar(&use, "use", "", "only keys with this use: document, root or log")
	return cmd
}

func (c *cli) signingKeyRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rotate",
		Short:   "Start signing with the next prepared key; documents already signed remain valid",
		Example: "  copyhold signing-key rotate",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/rotate"}, signingKeyColumns()...)
		},
	}
}

func (c *cli) signingKeyWithdrawCommand() *cobra.Command {
	var yes bool
	var reason, cutoff string
	cmd := &cobra.Command{
		Use:   "withdraw KEY",
		Short: "Stop trusting a signing key that may be compromised",
		Long: `Withdraw publishes a key set that no longer trusts the key. Programs refuse documents
that it signed at or after the cutoff (now, by default) and replace the older ones.`,
		Example: `  copyhold signing-key withdraw nZ0cXmQ3 --reason 'laptop stolen'
  copyhold signing-key withdraw nZ0cXmQ3 --cutoff 2026-11-20T18:00:00Z --reason 'laptop stolen' --yes`,
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"reason": reason}
			if cutoff != "" {
				when, err := licensing.ParseDate(cutoff)
				if err != nil {
					return usageError(cmd, "--cutoff: %v", err)
				}
				body["cutoff"] = when
			}
			if err := c.confirm(yes, "Programs will refuse documents that "+args[0]+" signs."); err != nil {
				return err
			}
			return c.ask(cmd.Context(), client.Call{
				As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/" + url.PathEscape(args[0]) + "/withdraw",
				Body: body,
			}, append(signingKeyColumns(), column{head: "WITHDRAWN", path: "withdrawn"})...)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	cmd.Flags().StringVar(&cutoff, "cutoff", "", "when the key may have been compromised, for example 2026-11-20 or 2026-11-20T18:00:00Z; default: now")
	return cmd
}
