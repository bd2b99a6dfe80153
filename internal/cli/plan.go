package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	v1 "copyhold.dev/internal/v1"
)

func planColumns() []column {
	return []column{
		{head: "PRODUCT", path: "product"}, {head: "PLAN", path: "plan"}, {head: "CHANNEL", path: "channel"},
		{head: "REVISION", path: "revision", as: shortHash}, {head: "LICENSES", path: "licenses"}, {head: "APPLIED", path: "applied_at"},
	}
}

// shortHash returns the part of a hash that is enough for people.
func shortHash(value any) string {
	text := plain(value)
	return text[:min(len(text), 12)]
}

func (c *cli) planCommand() *cobra.Command {
	return group("plan", "Check, compare and apply plan files", "  copyhold plan lint plans/\n  copyhold plan apply plans/*.yaml",
		c.planLintCommand(), c.planDiffCommand(), c.planApplyCommand(),
		c.listCommand(listing{
			use: "list", short: "List plans and their current revisions", example: "  copyhold plan list\n  copyhold plan list --product lathe",
			path: "/v1/plans", as: client.ByToken, columns: planColumns(), filters: []filter{{"product", "only plans of this product"}},
		}),
		c.planShowCommand(),
	)
}

// readPlans reads plan files; for a folder, it reads the *.yaml files in it.
func readPlans(names []string) ([]policy.File, error) {
	var files []policy.File
	for _, name := range names {
		found := []string{name}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			if found, err = filepath.Glob(filepath.Join(name, "*.yaml")); err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, exitf(exitUsage, "%s contains no *.yaml files", name)
			}
		}
		for _, path := range found {
			text, err := client.ReadText(path, policy.MaxFile)
			if err != nil {
				return nil, exitf(exitUsage, "%w", err)
			}
			files = append(files, policy.File{Name: path, Text: text})
		}
	}
	return files, nil
}

func (c *cli) planShowCommand() *cobra.Command {
	var revision string
	cmd := &cobra.Command{
		Use:   "show PLAN",
		Short: "Show a plan's current revision, or another one",
		Long: `Show prints a plan's file as it was applied. Comments below it state the consequences of
its settings: how long a revocation takes to reach every program, and how long a lost
holder keeps its units.`,
		Example: "  copyhold plan show studio\n  copyhold plan show studio --revision 3f9a1c0b7d2e",
		Args:    exactly("PLAN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/plans/" + url.PathEscape(args[0])}
			if revision != "" {
				r.Query = url.Values{"revision": {revision}}
			}
			a, err := c.do(cmd.Context(), r)
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(a.Body)
			}
			var plan v1.PlanDetail
			if err := a.Decode(&plan); err != nil {
				return err
			}
			c.printf("%s\n", strings.TrimSuffix(plan.Text, "\n"))
			c.printBounds("# ", plan.Bounds)
			return nil
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "show this revision instead of the current one")
	return cmd
}

// printBounds prints the consequences of a plan's settings.
func (c *cli) printBounds(indent string, b licensing.Bounds) {
	for line := range strings.Lines(b.String()) {
		c.printf("%s%s", indent, line)
	}
}

func (c *cli) planDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff FILE...",
		Short: "Show what plan files would change, and for which licenses",
		Long: `Diff shows what apply would do, without changing anything: how many licenses would move,
gain, lose or no longer fit, what changes in each plan, and which licenses are affected.

Exit status: 0 nothing changes; 10 something changes, and no license loses; 11 at least
one license loses; 1 a file has errors or a license would not fit, so apply would refuse.`,
		Example: "  copyhold plan diff plans/studio.yaml\n  copyhold plan diff plans/",
		Args:    atLeast("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readPlans(args)
			if err != nil {
				return err
			}
			impact, err := c.planJob(cmd.Context(), "plan-diff", map[string]any{"files": files, "licenses": "all"})
			if err != nil {
				return err
			}
			i, err := c.printImpact(impact)
			if status := diffStatus(i); err == nil && status != exitDone {
				return &exit{status: status}
			}
			return err
		},
	}
}

// diffStatus returns the exit status that summarizes an impact for a pipeline.
func diffStatus(i v1.Impact) int {
	switch {
	case policy.HasErrors(i.Findings) || len(i.Misfits) > 0:
		return exitFailed
	case i.Losing > 0 || i.Short > 0:
		return exitLoses
	case changesNothing(i):
		return exitDone
	}
	return exitGains
}

// changesNothing reports whether applying the plans would change nothing.
func changesNothing(i v1.Impact) bool {
	return i.Moving == 0 && !slices.ContainsFunc(i.Plans, func(p v1.PlanImpact) bool { return p.Status != "unchanged" })
}

func (c *cli) planApplyCommand() *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply FILE...",
		Short: "Apply plan files, after showing which licenses gain and lose",
		Long: `Apply stores each plan as a new revision. With --licenses new, only licenses issued from
now on get the revision. With all or a filter, apply also moves existing licenses that
follow the plan's channel. It shows which licenses gain and lose, and asks for
confirmation.

Apply is all or nothing: if a file has errors, a license does not fit, or a license holds
more units than would remain, nothing changes. For the last case, --below decides: refuse,
drain (holders keep their units, and nothing new is granted) or use the overdraft.

The server compares and moves licenses in the background, as a job, and apply shows its
progress. After an interruption the job continues; copyhold job show --follow follows it
again. Canceling it leaves the licenses that have not moved on their revision.`,
		Example: `  copyhold plan apply plans/studio.yaml
  copyhold plan apply plans/ --licenses all --below drain --yes
  copyhold plan apply plans/studio.yaml --licenses customer=cus_01jd0000000000000000000000`,
		Args: atLeast("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := readPlans(args)
			if err != nil {
				return err
			}
			o.files = files
			return c.applyPlans(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.licenses, "licenses", "new", "licenses that get the revision: new, all or a filter such as customer=ID")
	cmd.Flags().StringVar(&o.below, "below", "refuse", "what to do if more units are held than would remain: refuse, drain or overdraft")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	return cmd
}

type applyOptions struct {
	files           []policy.File
	licenses, below string
	yes             bool
}

func (c *cli) applyPlans(ctx context.Context, o applyOptions) error {
	body := map[string]any{"files": o.files, "licenses": o.licenses, "below": o.below}
	if !c.asJSON() {
		preview, err := c.planJob(ctx, "plan-diff", body)
		if err != nil {
			return err
		}
		i, err := c.printImpact(preview)
		switch {
		case err != nil:
			return err
		case policy.HasErrors(i.Findings) || len(i.Misfits) > 0:
			return exitf(exitFailed, "nothing was changed: correct the errors above, then apply again")
		case i.Short > 0 && o.below == string(licensing.BelowRefuse):
			return exitf(exitFailed, "nothing was changed: use --below drain to let holders keep their units, or --below overdraft to count them as overdraft")
		case changesNothing(i):
			return c.done(nil, "nothing changed")
		}
		if err := c.confirm(o.yes, "Apply these changes?"); err != nil {
			return err
		}
	} else if err := c.confirm(o.yes, "Applying these plans changes what licenses allow."); err != nil {
		return err
	}
	impact, err := c.planJob(ctx, "plan-apply", body)
	if err != nil {
		return err
	}
	if c.asJSON() {
		return c.printJSON(impact)
	}
	var i v1.Impact
	if err := json.Unmarshal(impact, &i); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	for _, m := range i.Moves {
		c.printf("%s of plan %s: %d moved\n", m.ID, m.Plan, m.Moved)
		if m.Refused > 0 {
			c.printf("  %s did not fit and did not move; for the reasons, run copyhold audit list --type license.left\n", licensing.Counted(m.Refused, "license"))
		}
	}
	c.printf("applied\n")
	return nil
}

// planJob compares or applies plan files in a job, and returns the impact.
func (c *cli) planJob(ctx context.Context, kind string, body any) (json.RawMessage, error) {
	job, err := c.startJob(ctx, "/v1/jobs/"+kind, body)
	if err != nil {
		return nil, err
	}
	if job, err = c.followJob(ctx, string(job.ID)); err != nil {
		return nil, err
	}
	if err := jobFailure(job); err != nil {
		return nil, err
	}
	a, err := c.do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: jobPath(string(job.ID))})
	if err != nil {
		return nil, err
	}
	var found struct {
		Impact json.RawMessage `json:"impact"`
	}
	return found.Impact, a.Decode(&found)
}

// printImpact prints what applying plan files would do: the totals, then what prevents it,
// then what changes and for which licenses.
func (c *cli) printImpact(text json.RawMessage) (v1.Impact, error) {
	var i v1.Impact
	if err := json.Unmarshal(text, &i); err != nil {
		return i, fmt.Errorf("reading the server's answer: %w", err)
	}
	if c.asJSON() {
		return i, c.printJSON(text)
	}
	c.printf("%s\n", totals(i))
	for _, f := range i.Findings {
		if f.Severity == policy.SevError {
			c.printf("%s\n", f)
		}
	}
	for _, m := range i.Misfits {
		c.printf("license %s of %s does not fit: %s\n", m.License, m.Customer, m.Reason)
	}
	for _, l := range i.Licenses {
		for _, s := range l.Shortages {
			c.printf("license %s of %s holds %d units of pool %s, but only %d would remain\n", l.License, l.Customer, s.Held, s.Pool, s.Capacity)
		}
	}
	for _, p := range i.Plans {
		c.printf("plan %s  %s  %s\n", p.Plan, shortHash(string(p.Revision)), p.Status)
		for _, line := range p.Changes {
			c.printf("  %s\n", line)
		}
		for _, line := range p.Warnings {
			c.printf("  warning: %s\n", line)
		}
	}
	c.printEffects(i)
	if i.Pinned > 0 {
		c.printf("%s pinned and will not move: %s\n", are(i.Pinned), someOf(i.Keeping, i.Pinned, func(l v1.PinnedLicense) string {
			return string(l.License) + " at " + shortHash(string(l.Revision))
		}))
	}
	return i, nil
}

// totals summarizes an impact in one line.
func totals(i v1.Impact) string {
	changed := 0
	for _, p := range i.Plans {
		if p.Status != "unchanged" {
			changed++
		}
	}
	parts := []string{fmt.Sprintf("%d of %s changed", changed, licensing.Counted(len(i.Plans), "plan"))}
	for _, t := range []struct {
		n    int
		what string
	}{{i.Moving, "moving"}, {i.Gaining, "gaining"}, {i.Losing, "losing"}, {i.Short, "holding more than would remain"}, {len(i.Misfits), "not fitting"}, {i.Pinned, "pinned"}} {
		if t.n > 0 {
			parts = append(parts, licensing.Counted(t.n, "license")+" "+t.what)
		}
	}
	faults := 0
	for _, f := range i.Findings {
		if f.Severity == policy.SevError {
			faults++
		}
	}
	if faults > 0 {
		parts = append(parts, licensing.Counted(faults, "error"))
	}
	return strings.Join(parts, ", ")
}

func are(n int) string {
	if n == 1 {
		return "1 license is"
	}
	return licensing.Counted(n, "license") + " are"
}

// printEffects prints what licenses gain and lose. It groups licenses with the same effects.
func (c *cli) printEffects(i v1.Impact) {
	var order []string
	same := map[string][]v1.LicenseImpact{}
	for _, l := range i.Licenses {
		var lines strings.Builder
		for _, part := range []struct {
			verb  string
			lines []string
		}{{"gains", l.Gains}, {"loses", l.Loses}, {"changes", l.Changes}} {
			for _, line := range part.lines {
				fmt.Fprintf(&lines, "  %-7s %s\n", part.verb, line)
			}
		}
		if same[lines.String()] == nil {
			order = append(order, lines.String())
		}
		same[lines.String()] = append(same[lines.String()], l)
	}
	for _, lines := range order {
		all := same[lines]
		c.printf("%s: %s\n%s", licensing.Counted(len(all), "license"), someOf(all, len(all), func(l v1.LicenseImpact) string {
			return string(l.License) + " of " + string(l.Customer)
		}), lines)
	}
	if rest := i.Moving - len(i.Licenses) - len(i.Misfits); rest > 0 {
		c.printf("and %s counted above but not listed\n", licensing.Counted(rest, "license"))
	}
}

// shown is the maximum number of items listed on one line.
const shown = 5

// someOf lists the first of n items, and how many more there are.
func someOf[T any](all []T, n int, name func(T) string) string {
	var names []string
	for _, one := range all[:min(len(all), shown)] {
		names = append(names, name(one))
	}
	if n > len(names) {
		names = append(names, fmt.Sprintf("and %d more (--output json)", n-len(names)))
	}
	return strings.Join(names, ", ")
}
