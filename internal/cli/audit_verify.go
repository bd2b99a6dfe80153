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
		Short: "Check that no entry was changed, dropped, inserted, swapped or removed from the end",
		Long: `Verify reads the whole log, from the server or from an export. It rebuilds the tree on
this machine, compares it with the signed head, and names every entry that does not
match. Entries removed from the end can be detected only with a head that you saved
earlier: pass it with --head.

With a server, verify also compares the database rows with the log. Every live lease
must have an entry that begins it and none that ends it, every such entry must have its
lease, and every license must match its last recorded change. For each mismatch, verify
names the row and the entry; for a license it also lists the fields that differ, with
both values. It compares the counters of each pool with its leases and tickets, and the
totals of each meter with its usage events. To correct counters, use copyhold repair.
An export has no rows; copyhold restore compares the rows of a backup.

Exit status 4: the log or the rows were tampered with.`,
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
	cmd.Flags().StringVar(&key, "key", "", "the log's verifier key, from a source that you trust; default: the key that the log names")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "file with a log head saved earlier; repeatable")
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

// A verifiedLog is the result of verifying a log, and the rows compared with it, if any.
type verifiedLog struct {
	audit.Report
	Rows *audit.Reconciliation `json:"reconciliation,omitempty"`
}

// reconcile asks the server to compare its rows with its log.
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
		return exitf(exitTampered, "the rows do not match the log")
	}
	return c.done(nil, "%s", c.tint("ok"))
}

// printReconciliation prints what was compared; for nil it prints nothing.
func (c *cli) printReconciliation(r *audit.Reconciliation) {
	if r == nil {
		return
	}
	c.printf("compared %s and %s with %s", licensing.Counted(r.Leases, "live lease"), licensing.Counted(r.Licenses, "license"), licensing.Counted(r.Entries, "entry"))
	if r.Unknown > 0 {
		c.printf("; %d could not be compared because their entries were erased", r.Unknown)
	}
	c.printf("\n")
	c.printf("compared the counters of %s and %s with their rows\n", licensing.Counted(r.Pools, "pool"), licensing.Counted(r.Totals, "usage total"))
	for _, m := range r.Mismatches {
		c.printf("  %s\n", m)
	}
}
