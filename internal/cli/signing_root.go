package cli

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/license"
)

func (c *cli) rootShowCommand() *cobra.Command {
	return c.setShowCommand("root set", "/v1/rootset", "Show the root set, or write it to a file for pinning",
		"  copyhold signing-key root show\n  copyhold signing-key root show --to root-set.json")
}

func (c *cli) keySetShowCommand() *cobra.Command {
	return c.setShowCommand("key set", "/v1/keyset", "Show the key set in force, or write it to a file to embed in programs",
		"  copyhold signing-key set show\n  copyhold signing-key set show --to key-set.json")
}

// setShowCommand shows a signed set, which is public.
func (c *cli) setShowCommand(kind, path, short, example string) *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:     "show",
		Short:   short,
		Example: example,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.settings(client.Anonymous)
			if err != nil {
				return err
			}
			r := client.Call{As: client.Anonymous, Method: http.MethodGet, Path: path}
			if s.Environment.Value != "" {
				r.Query = url.Values{"env": {s.Environment.Value}}
			}
			a, err := c.do(cmd.Context(), r)
			if err != nil {
				return err
			}
			if !file.given() {
				return c.printJSON(a.Body)
			}
			return c.done(file.write(append(a.Body, '\n')), "wrote the %s to %s", kind, file.name)
		},
	}
	file.flags(cmd, forAll, "write the set to this file")
	return cmd
}

func (c *cli) rootExportCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:   "export --to FILE",
		Short: "Export the root's private part for safekeeping",
		Long: `Export writes the root's private part to a new file that only you can read. Keep the
file offline, in two places. Anyone who has it can sign licenses forever.`,
		Example: "  copyhold signing-key root export --to /media/safe/copyhold-root.key",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/root/export"})
			if err != nil {
				return err
			}
			return c.done(file.writeSecret(string(a.Body)), "wrote the root's private part to %s; keep it offline, then run: copyhold signing-key root remove", file.name)
		},
	}
	file.flags(cmd, forOwner, "file to write, which only you can read")
	required(cmd, "to")
	return cmd
}

func (c *cli) rootRemoveCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Remove the root's private part from the server, after exporting it",
		Long: `Remove deletes the root's private part from the server. The server continues without it,
because signing keys for two years are already signed. You need the root again before
those keys expire.`,
		Example: "  copyhold signing-key root remove --yes",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.confirm(yes, "The server will no longer be able to sign new key sets."); err != nil {
				return err
			}
			_, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/root/remove"})
			return c.done(err, "removed the root's private part from the server")
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	return cmd
}

func (c *cli) rootImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Import an exported root, so that the server can sign key sets again",
		Long: `Import restores the private parts of the roots from a file that export wrote (- for
standard input). Within ten seconds, the server prepares any signing keys that it lacks.
You can now also withdraw a key. Then remove the root from the server.`,
		Example: `  copyhold signing-key root import /media/safe/copyhold-root.key
  age -d /media/safe/copyhold-root.key.age | copyhold signing-key root import -`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := c.readInput(args[0])
			if err != nil {
				return exitf(exitUsage, "%w", err)
			}
			text, err := license.DecodeText(args[0], data)
			if err != nil {
				return exitf(exitUsage, "%w", err)
			}
			if !json.Valid([]byte(text)) {
				return exitf(exitUsage, "%s does not contain an exported root", args[0])
			}
			_, err = c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/signing-keys/root/import", Body: json.RawMessage(text)})
			return c.done(err, "imported the root; remove it again once the keys are prepared")
		},
	}
}
