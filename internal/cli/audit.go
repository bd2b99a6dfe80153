package cli

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func auditColumns() []column {
	return []column{
		{head: "INDEX", path: "index"}, {head: "AT", path: "at"}, {head: "TYPE", path: "type"}, {head: "ACTOR", path: "actor"},
		{head: "LICENSE", path: "license"}, {head: "POOL", path: "pool"}, {head: "SUBJECT", path: "subject"},
	}
}

func (c *cli) auditCommand() *cobra.Command {
	return group("audit", "Read, export and verify the tamper-evident log", "  copyhold audit list\n  copyhold audit verify",
		c.listCommand(listing{
			use: "list", short: "List entries, newest first", path: "/v1/audit", as: client.ByToken, columns: auditColumns(),
			example: `  copyhold audit list --limit 20
  copyhold audit list --license lic_01jd0000000000000000000000 --type lease.begun
  copyhold audit list --type license. --since 2026-11-01 --until 2026-12-01`,
			filters: []filter{
				{"license", "only entries about this license"}, {"type", "only this type, for example lease.begun; a trailing dot selects a family, for example lease."},
				{"customer", "only entries about this customer"}, {"since", "only entries at or after this time, for example 2026-11-22 or 2026-11-22T09:00:00Z"},
				{"until", "only entries before this time"},
			},
		}),
		c.auditShowCommand(), c.auditFollowCommand(), c.auditHeadCommand(), c.auditExportCommand(), c.auditVerifyCommand(), c.auditProveCommand(), c.auditEraseCommand(),
	)
}

// entryIndex parses the index of an entry.
func entryIndex(cmd *cobra.Command, text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return "", usageError(cmd, "%q is not an entry index", text)
	}
	return strconv.FormatInt(n, 10), nil
}

func (c *cli) auditShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show INDEX",
		Short:   "Show all of one entry",
		Example: "  copyhold audit show 42",
		Args:    exactly("INDEX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := entryIndex(cmd, args[0])
			if err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/audit/" + index})
			if err != nil {
				return err
			}
			return c.printJSON(a.Body)
		},
	}
}

func (c *cli) auditHeadCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:   "head",
		Short: "Show the log's signed head, or save it for audit verify --head",
		Long: `Head shows how many entries the log has, its root hash and the key that signs it. With
--to it writes the signed head (a C2SP checkpoint) to a file. Keep that file on another
machine, so that you can prove later that no earlier entry was changed or removed.`,
		Example: "  copyhold audit head\n  copyhold audit head --to kept-head.txt",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/audit/head"})
			if err != nil {
				return err
			}
			if !file.given() {
				return c.printRecord(a.Body, column{head: "LOG", path: "origin"}, column{head: "ENTRIES", path: "size"},
					column{head: "ROOT", path: "root"}, column{head: "KEY", path: "key"})
			}
			var head v1.LogHead
			if err := a.Decode(&head); err != nil {
				return err
			}
			return c.done(file.write([]byte(head.Signed)), "wrote the head of %s to %s", licensing.Counted(head.Size, "entry"), file.name)
		},
	}
	file.flags(cmd, forAll, "write the signed head to this file")
	return cmd
}

func (c *cli) auditEraseCommand() *cobra.Command {
	var yes bool
	var reason string
	cmd := &cobra.Command{
		Use:   "erase INDEX",
		Short: "Erase personal data from an entry, and record the erasure",
		Long: `Erase permanently removes the actor, subject, request and data of an entry. It adds an
entry that records which one was erased, by whom and why. The erased entry, its hash and
its proofs remain. Earlier backups still contain the erased data.`,
		Example: "  copyhold audit erase 42 --reason 'request of 2026-11-20' --yes",
		Args:    exactly("INDEX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := entryIndex(cmd, args[0])
			if err != nil {
				return err
			}
			if err := c.confirm(yes, "The personal data in entry "+index+" will be permanently erased."); err != nil {
				return err
			}
			_, err = c.do(cmd.Context(), client.Call{
				As: client.ByToken, Method: http.MethodDelete, Path: "/v1/audit/" + index + "/payload", Query: url.Values{"reason": {reason}},
			})
			return c.done(err, "erased entry %s", index)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().StringVar(&reason, "reason", "", "reason to record in the log")
	required(cmd, "reason")
	return cmd
}

func (c *cli) auditProveCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:   "prove INDEX",
		Short: "Write a proof, which anyone can check, that the log contains an entry",
		Long: `Prove writes the entry, its position and the hashes that lead to a signed log head (a
C2SP tlog-proof). Anyone with the log's public key can check it without this server.`,
		Example: "  copyhold audit prove 42\n  copyhold audit prove 42 --to entry-42.proof",
		Args:    exactly("INDEX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := entryIndex(cmd, args[0])
			if err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/audit/" + index + "/proof"})
			if err != nil {
				return err
			}
			if !file.given() {
				return c.printJSON(a.Body)
			}
			return c.done(file.write(append(a.Body, '\n')), "wrote the proof to %s", file.name)
		},
	}
	file.flags(cmd, forAll, "write the proof to this file")
	return cmd
}

func (c *cli) auditExportCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:     "export --to FILE",
		Short:   "Write the whole log to a file that audit verify can read",
		Example: "  copyhold audit export --to log.jsonl",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := c.openLog(cmd.Context())
			if err != nil {
				return err
			}
			defer in.Close()
			_, err = file.copy(in)
			return c.done(err, "wrote the log to %s", file.name)
		},
	}
	file.flags(cmd, forOwner, "file to write")
	required(cmd, "to")
	return cmd
}

// openLog streams the whole log from the server.
func (c *cli) openLog(ctx context.Context) (io.ReadCloser, error) {
	server, err := c.client(client.ByToken)
	if err != nil {
		return nil, err
	}
	return server.Stream(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/audit/rows"})
}
