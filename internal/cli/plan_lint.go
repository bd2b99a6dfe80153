package cli

import (
	"github.com/spf13/cobra"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
)

func (c *cli) planLintCommand() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Check plan files without a server",
		Long: `Lint reads plan files and names every fault with its line: what cannot be read, what
contradicts itself, what a stated bound forbids. A folder stands for the *.yaml in it.
Exit status 1: a plan has errors; warnings alone are no failure.`,
		Example: "  copyhold plan lint examples/plans\n  copyhold plan lint plans/studio.yaml --kind production --output json",
		Args:    atLeast("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch licensing.Kind(kind) {
			case licensing.Production, licensing.Staging, licensing.Development:
			default:
				return usageError(cmd, "--kind is production, staging or development")
			}
			files, err := readPlans(args)
			if err != nil {
				return err
			}
			sources, findings := policy.Read(files)
			findings = append(findings, policy.Lint(sources, licensing.Kind(kind))...)
			return c.printLint(findings, len(sources), len(files))
		},
	}
	cmd.Flags().StringVar(&kind, "kind", string(licensing.Production), "environment the plans are for: production, staging or development")
	return cmd
}

func (c *cli) printLint(findings []policy.Finding, plans, files int) error {
	if c.asJSON() {
		if err := c.printJSON(map[string]any{"plans": plans, "files": files, "findings": append([]policy.Finding{}, findings...)}); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			c.printf("%s\n", f)
		}
	}
	if policy.HasErrors(findings) {
		return &exit{status: exitFailed}
	}
	return c.done(nil, "%d plans in %d files: %s", plans, files, c.tint("ok"))
}
