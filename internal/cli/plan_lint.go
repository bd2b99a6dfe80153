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
		Long: `Lint checks plan files and reports every error with its line: syntax errors,
contradictions, and values outside a stated bound. It also prints the consequences of
each plan's settings: how long a revocation can take, and how long a lost holder keeps
its units. If you name a folder, lint checks all *.yaml files in it.

Exit status 1: a plan has errors. Warnings do not count as failures.`,
		Example: "  copyhold plan lint examples/plans\n  copyhold plan lint plans/studio.yaml --kind production --output json",
		Args:    atLeast("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch licensing.Kind(kind) {
			case licensing.Production, licensing.Staging, licensing.Development:
			default:
				return usageError(cmd, "--kind must be production, staging or development")
			}
			files, err := readPlans(args)
			if err != nil {
				return err
			}
			sources, findings := policy.Check(files, licensing.Kind(kind))
			return c.printLint(findings, sources, len(files))
		},
	}
	cmd.Flags().StringVar(&kind, "kind", string(licensing.Production), "kind of environment that the plans are for: production, staging or development")
	return cmd
}

func (c *cli) printLint(findings []policy.Finding, plans []policy.Source, files int) error {
	if c.asJSON() {
		if err := c.printJSON(lintReport(findings, plans, files)); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			c.printf("%s\n", f)
		}
		for _, s := range plans {
			c.printf("plan %s\n", s.Plan.Name)
			c.printBounds("  ", s.Plan.Bounds(licensing.Skew.Duration()))
		}
	}
	if policy.HasErrors(findings) {
		return &exit{status: exitFailed}
	}
	return c.done(nil, "%s in %s: %s", licensing.Counted(len(plans), "plan"), licensing.Counted(files, "file"), c.tint("ok"))
}

func lintReport(findings []policy.Finding, plans []policy.Source, files int) map[string]any {
	type bounded struct {
		Product licensing.ProductName `json:"product"`
		Plan    licensing.PlanName    `json:"plan"`
		licensing.Bounds
	}
	bounds := make([]bounded, len(plans))
	for i, s := range plans {
		bounds[i] = bounded{s.Plan.Product, s.Plan.Name, s.Plan.Bounds(licensing.Skew.Duration())}
	}
	return map[string]any{"plans": len(plans), "files": files, "findings": append([]policy.Finding{}, findings...), "bounds": bounds}
}
