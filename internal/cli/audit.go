package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/audit"
)

func auditColumns() []column {
	return []column{
		{head: "INDEX", path: "index"}, {head: "AT", path: "at"}, {head: "TYPE", path: "type"}, {head: "ACTOR", path: "actor"},
		{head: "LICENSE", path: "license"}, {head: "POOL", path: "pool"}, {head: "SUBJECT", path: "subject"},
	}
}

func (c *cli) auditCommand() *cobra.Command {
	return group("audit", "The tamper-evident record of everything that happened", "  copyhold audit list\n  copyhold audit verify",
		c.listCommand(listing{
			use: "list", short: "List entries, the newest first", path: "/v1/audit", as: byToken, columns: auditColumns(),
			example: "  copyhold audit list --limit 20\n  copyhold audit list --license lic_01jd0000000000000000000000 --type lease.begun",
			filters: []filter{
				{"license", "only about this license"}, {"type", "only of this type, as lease.begun"}, {"customer", "only about this customer"},
			},
		}),
		c.auditShowCommand(), c.auditExportCommand(), c.auditVerifyCommand(), c.auditProveCommand(),
	)
}

// entryIndex reads the index of an entry.
func entryIndex(cmd *cobra.Command, text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return "", usageError(cmd, "%q is not the index of an entry", text)
	}
	return strconv.FormatInt(n, 10), nil
}

func (c *cli) auditShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show INDEX",
		Short:   "Show one entry whole",
		Example: "  copyhold audit show 42",
		Args:    exactly("INDEX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := entryIndex(cmd, args[0])
			if err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), call{as: byToken, method: http.MethodGet, path: "/v1/audit/" + index})
			if err != nil {
				return err
			}
			return c.printJSON(a.body)
		},
	}
}

func (c *cli) auditProveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "prove INDEX",
		Short: "Write a proof that the log holds an entry, which anyone can check",
		Long: `Prove writes the entry, its place and the hashes up to a signed log head (C2SP
tlog-proof). Whoever holds the log's public key can check it without this server.`,
		Example: "  copyhold audit prove 42\n  copyhold audit prove 42 --to entry-42.proof",
		Args:    exactly("INDEX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			index, err := entryIndex(cmd, args[0])
			if err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), call{as: byToken, method: http.MethodGet, path: "/v1/audit/" + index + "/proof"})
			if err != nil {
				return err
			}
			if file == "" {
				return c.printJSON(a.body)
			}
			return c.done(os.WriteFile(file, append(a.body, '\n'), 0o644), "proof written to %s", file)
		},
	}
	cmd.Flags().StringVar(&file, "to", "", "write it to this file")
	return cmd
}

func (c *cli) auditExportCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "export --to FILE",
		Short:   "Write the whole log to a file that audit verify reads",
		Example: "  copyhold audit export --to log.jsonl",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				return err
			}
			err = c.copyLog(cmd.Context(), out)
			return c.done(errors.Join(err, out.Close()), "log written to %s", file)
		},
	}
	cmd.Flags().StringVar(&file, "to", "", "file to write it to")
	required(cmd, "to")
	return cmd
}

// openLog streams the whole log from the server.
func (c *cli) openLog(ctx context.Context) (io.ReadCloser, error) {
	server, err := c.client(byToken)
	if err != nil {
		return nil, err
	}
	return server.stream(ctx, call{as: byToken, method: http.MethodGet, path: "/v1/audit/rows"})
}

func (c *cli) copyLog(ctx context.Context, to io.Writer) error {
	in, err := c.openLog(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.Copy(to, in); err != nil {
		return fmt.Errorf("reading the log: %w", err)
	}
	return nil
}

func (c *cli) auditVerifyCommand() *cobra.Command {
	var key string
	var heads []string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check that no entry was changed, dropped, inserted, swapped or cut off",
		Long: `Verify reads the whole log, from the server or from an export, rebuilds its tree on
this machine and compares it with the signed head. It names every entry that does
not fit. A log that was cut off at its end is only noticed against a head that
somebody kept: give one with --head. Exit status 4: the log was tampered with.`,
		Example: `  copyhold audit verify
  copyhold audit verify log.jsonl --head kept-head.txt --key 'example.com/log+7f2a+AbCd'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, "unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var in io.ReadCloser
			var err error
			if len(args) == 1 {
				in, err = os.Open(args[0])
			} else {
				in, err = c.openLog(cmd.Context())
			}
			if err != nil {
				return err
			}
			defer in.Close()
			return c.verifyLog(in, key, heads)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's verifier key as you know it; default the one the log names")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "file with a log head that was kept outside; may be repeated")
	return cmd
}

func (c *cli) verifyLog(in io.Reader, key string, headFiles []string) error {
	log, err := audit.OpenExport(in)
	if err != nil {
		return exitf(exitTampered, "%w", err)
	}
	if key != "" {
		log.Key = key
	}
	var outside []audit.Head
	for _, name := range headFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return exitf(exitUsage, "%w", err)
		}
		head, err := audit.OpenHead(string(text), log.Key)
		if err != nil {
			return exitf(exitTampered, "%s: %w", name, err)
		}
		outside = append(outside, head)
	}
	report, err := audit.Verify(log, outside...)
	if err != nil {
		return err
	}
	return c.printReport(report)
}

func (c *cli) printReport(report audit.Report) error {
	if c.asJSON() {
		if err := c.printJSON(report); err != nil {
			return err
		}
	} else {
		c.printf("%s\n%d entries in %d rows, root %s", report.Origin, report.Size, report.Rows, report.Root)
		if report.Erased > 0 {
			c.printf(", %d payloads erased", report.Erased)
		}
		c.printf("\n")
		for _, f := range report.Findings {
			c.printf("  %s\n", f)
		}
	}
	if !report.Whole() {
		return exitf(exitTampered, "the log was tampered with")
	}
	return c.done(nil, "%s", c.tint("ok"))
}
