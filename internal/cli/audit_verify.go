package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
)

func (c *cli) auditVerifyCommand() *cobra.Command {
	var key string
	var heads []string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check that no entry was changed, dropped, inserted, swapped or cut off",
		Long: `Verify reads the whole log, from the server or from an export, rebuilds its tree on
this machine and compares it with the signed head. It names every entry that does
not fit. A log that was cut off at its end is only noticed against a head that
somebody kept: give one with --head.

With a server it also compares the rows with the log: every live lease has an entry
that begins it and none that ends it, every such entry has its lease, and every license
is as its last change left it. Each mismatch names the row and the entry, and for a
license each field that differs, with both values. The counters of each pool are
compared with its leases and tickets, and the totals of each meter with its usage
events: copyhold repair corrects those. An export has no rows; restore compares those
of a backup.

Exit status 4: the log was tampered with, or the rows were.`,
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
			log, err := c.verifyLog(in, key, heads)
			if err != nil {
				return err
			}
			verified := verifiedLog{Report: log}
			if len(args) == 0 {
				if verified.Rows, err = c.reconcile(cmd.Context()); err != nil {
					return err
				}
			}
			return c.printVerifiedLog(verified)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the log's verifier key as you know it; default the one the log names")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "file with a log head that was kept outside; may be repeated")
	return cmd
}

func (c *cli) verifyLog(in io.Reader, key string, headFiles []string) (audit.Report, error) {
	log, err := audit.OpenExport(in)
	if err != nil {
		return audit.Report{}, exitf(exitTampered, "%w", err)
	}
	if key != "" {
		log.Key = key
	}
	var outside []audit.Head
	for _, name := range headFiles {
		text, err := client.ReadText(name, client.MaxSmallFile)
		if err != nil {
			return audit.Report{}, exitf(exitUsage, "%w", err)
		}
		head, err := audit.OpenHead(text, log.Key)
		if err != nil {
			return audit.Report{}, exitf(exitTampered, "%s: %w", name, err)
		}
		outside = append(outside, head)
	}
	return audit.Verify(log, outside...)
}

// A verifiedLog is what was found in a log, and in the rows beside it if there were any.
type verifiedLog struct {
	audit.Report
	Rows *audit.Reconciliation `json:"reconciliation,omitempty"`
}

// reconcile asks the server to hold its rows against its log.
func (c *cli) reconcile(ctx context.Context) (*audit.Reconciliation, error) {
	server, err := c.client(client.ByToken)
	if err != nil {
		return nil, err
	}
	in, err := server.Stream(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/audit/reconciliation"})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var rows audit.Reconciliation
	if err := json.NewDecoder(in).Decode(&rows); err != nil {
		return nil, fmt.Errorf("reading the reconciliation: %w", err)
	}
	return &rows, nil
}

func (c *cli) printVerifiedLog(v verifiedLog) error {
	if c.asJSON() {
		if err := c.printJSON(v); err != nil {
			return err
		}
	} else {
		c.printf("%s\n%s in %s, root %s", v.Origin, licensing.Counted(v.Size, "entry"), licensing.Counted(v.Report.Rows, "row"), v.Root)
		if v.Erased > 0 {
			c.printf(", %d erased", v.Erased)
		}
		c.printf("\n")
		for _, f := range v.Findings {
			c.printf("  %s\n", f)
		}
		c.printReconciliation(v.Rows)
	}
	switch {
	case !v.Whole():
		return exitf(exitTampered, "the log was tampered with")
	case v.Rows != nil && !v.Rows.Agrees():
		return exitf(exitTampered, "rows are not as the log says")
	}
	return c.done(nil, "%s", c.tint("ok"))
}

// printReconciliation says what was compared; nil is nothing.
func (c *cli) printReconciliation(r *audit.Reconciliation) {
	if r == nil {
		return
	}
	c.printf("%s and %s held against %s", licensing.Counted(r.Leases, "live lease"), licensing.Counted(r.Licenses, "license"), licensing.Counted(r.Entries, "entry"))
	if r.Unknown > 0 {
		c.printf(", %d not: what they would be held against was erased", r.Unknown)
	}
	c.printf("\n")
	c.printf("counters of %s and %s compared with their rows\n", licensing.Counted(r.Pools, "pool"), licensing.Counted(r.Totals, "usage total"))
	for _, m := range r.Mismatches {
		c.printf("  %s\n", m)
	}
}
