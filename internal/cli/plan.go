package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
)

func planColumns() []column {
	return []column{
		{head: "PRODUCT", path: "product"}, {head: "PLAN", path: "plan"}, {head: "CHANNEL", path: "channel"},
		{head: "REVISION", path: "revision", as: shortHash}, {head: "LICENSES", path: "licenses"}, {head: "APPLIED", path: "applied_at"},
	}
}

// shortHash shows as much of a hash as people compare.
func shortHash(value any) string {
	text := plain(value)
	return text[:min(len(text), 12)]
}

func (c *cli) planCommand() *cobra.Command {
	return group("plan", "What can be bought, described in files", "  copyhold plan lint plans/\n  copyhold plan apply plans/*.yaml",
		c.planLintCommand(), c.planDiffCommand(), c.planApplyCommand(),
		c.listCommand(listing{
			use: "list", short: "List plans and the revision in force", example: "  copyhold plan list\n  copyhold plan list --product lathe",
			path: "/v1/plans", as: byToken, columns: planColumns(), filters: []filter{{"product", "only of this product"}},
		}),
		c.planShowCommand(),
	)
}

// readPlans reads plan files; a folder stands for the *.yaml in it.
func readPlans(names []string) ([]policy.File, error) {
	var files []policy.File
	for _, name := range names {
		found := []string{name}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			if found, err = filepath.Glob(filepath.Join(name, "*.yaml")); err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, exitf(exitUsage, "%s holds no *.yaml", name)
			}
		}
		for _, path := range found {
			text, err := readFile(path, policy.MaxFile)
			if err != nil {
				return nil, exitf(exitUsage, "%w", err)
			}
			files = append(files, policy.File{Name: path, Text: string(text)})
		}
	}
	return files, nil
}

func (c *cli) planShowCommand() *cobra.Command {
	var revision string
	cmd := &cobra.Command{
		Use:   "show PLAN",
		Short: "Show a plan as it is in force, or one revision of it",
		Long: `Show prints a plan's file as it was applied and, as comments below it, what its numbers
amount to: how long a revocation takes to reach everyone, and how long a lost holder
keeps its units.`,
		Example: "  copyhold plan show studio\n  copyhold plan show studio --revision 3f9a1c0b7d2e",
		Args:    exactly("PLAN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := call{as: byToken, method: http.MethodGet, path: "/v1/plans/" + url.PathEscape(args[0])}
			if revision != "" {
				r.query = url.Values{"revision": {revision}}
			}
			a, err := c.do(cmd.Context(), r)
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(a.body)
			}
			var plan authority.PlanDetail
			if err := a.decode(&plan); err != nil {
				return err
			}
			c.printf("%s\n", strings.TrimSuffix(plan.Text, "\n"))
			c.printBounds("# ", plan.Bounds)
			return nil
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "this revision instead of the one in force")
	return cmd
}

// printBounds prints what a plan's numbers amount to.
func (c *cli) printBounds(indent string, b licensing.Bounds) {
	for line := range strings.Lines(b.String()) {
		c.printf("%s%s", indent, line)
	}
}

func (c *cli) planDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "diff FILE...",
		Short:   "Show what plan files would change, and for whom",
		Example: "  copyhold plan diff plans/studio.yaml\n  copyhold plan diff plans/",
		Args:    atLeast("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readPlans(args)
			if err != nil {
				return err
			}
			a, err := c.do(cmd.Context(), call{as: byToken, method: http.MethodPost, path: "/v1/plans/diff", body: map[string]any{"files": files, "licenses": "all"}})
			if err != nil {
				return err
			}
			return c.printImpact(a.body)
		},
	}
}

func (c *cli) planApplyCommand() *cobra.Command {
	var licenses string
	var yes bool
	cmd := &cobra.Command{
		Use:   "apply FILE...",
		Short: "Make plan files the revisions in force, and say first who gains and who loses",
		Long: `Apply stores each plan as a new revision. With --licenses new only licenses issued
from now on get it; with all, or a filter, those that follow the plan's channel are
moved too. It prints who gains and who loses and asks before it acts.`,
		Example: `  copyhold plan apply plans/studio.yaml
  copyhold plan apply plans/ --licenses all --yes
  copyhold plan apply plans/studio.yaml --licenses customer=cus_01jd0000000000000000000000`,
		Args: atLeast("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readPlans(args)
			if err != nil {
				return err
			}
			return c.applyPlans(cmd.Context(), files, licenses, yes)
		},
	}
	cmd.Flags().StringVar(&licenses, "licenses", "new", "which licenses get it: new, all or a filter such as customer=ID")
	cmd.Flags().BoolVar(&yes, "yes", false, "apply without asking")
	return cmd
}

func (c *cli) applyPlans(ctx context.Context, files []policy.File, licenses string, yes bool) error {
	apply := func(dry bool) (answer, error) {
		return c.do(ctx, call{as: byToken, method: http.MethodPost, path: "/v1/plans", body: map[string]any{
			"files": files, "licenses": licenses, "dry_run": dry,
		}})
	}
	if !c.asJSON() {
		preview, err := apply(true)
		if err != nil {
			return err
		}
		if err := c.printImpact(preview.body); err != nil {
			return err
		}
		if err := c.confirm(yes, "Apply this?"); err != nil {
			return err
		}
	} else if err := c.confirm(yes, "Applying plans changes what licenses allow."); err != nil {
		return err
	}
	a, err := apply(false)
	if err != nil {
		return err
	}
	if c.asJSON() {
		return c.printJSON(a.body)
	}
	c.printf("applied\n")
	return nil
}

// An impact is what applying plan files would do.
type impact struct {
	Plans []struct {
		Plan     string   `json:"plan"`
		Revision string   `json:"revision"`
		Status   string   `json:"status"`
		Changes  []string `json:"changes"`
		Warnings []string `json:"warnings"`
	} `json:"plans"`
	Licenses []effect `json:"licenses"`
}

// An effect is what a license gains and loses.
type effect struct {
	License  string   `json:"license"`
	Customer string   `json:"customer"`
	Gains    []string `json:"gains"`
	Loses    []string `json:"loses"`
}

func (c *cli) printImpact(body json.RawMessage) error {
	if c.asJSON() {
		return c.printJSON(body)
	}
	var i impact
	if err := json.Unmarshal(body, &i); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	for _, p := range i.Plans {
		c.printf("plan %s  %s  %s\n", p.Plan, shortHash(p.Revision), p.Status)
		for _, line := range p.Changes {
			c.printf("  %s\n", line)
		}
		for _, line := range p.Warnings {
			c.printf("  warning: %s\n", line)
		}
	}
	for _, e := range i.Licenses {
		c.printf("license %s of %s\n", e.License, e.Customer)
		for _, line := range e.Gains {
			c.printf("  gains  %s\n", line)
		}
		for _, line := range e.Loses {
			c.printf("  loses  %s\n", line)
		}
	}
	return nil
}
