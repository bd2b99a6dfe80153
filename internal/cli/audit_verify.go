package cli

import (
	"io"
	"os"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/audit"
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
		c.printf("%s\n%s in %s, root %s", report.Origin, licensing.Counted(report.Size, "entry"), licensing.Counted(report.Rows, "row"), report.Root)
		if report.Erased > 0 {
			c.printf(", %d erased", report.Erased)
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
