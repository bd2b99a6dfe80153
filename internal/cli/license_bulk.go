package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// bulkHelp is the part of a command's help that is about many licenses. date is the optional
// column of the file.
func bulkHelp(date string) string {
	column := ""
	if date != "" {
		column = "\nThe column " + date + " can have a date for each license."
	}
	return `To change many licenses, use --filter or --file instead of LICENSE. A filter has one or
more conditions: customer, product, plan, revision, status, reference or ends-before,
for example customer=ID,status=active; --filter all selects every license. A file is CSV
with a header and the column license.` + column + `

The command first shows how many licenses would change, and asks for confirmation. If any
of them cannot be changed, none is: the first 100 are listed with their reasons, and the
exit status is 1. With --partial, the others are changed. The server works in the
background, as a job; after an interruption, copyhold job show --follow follows it again.`
}

// bulk is a command that changes many licenses.
type bulk struct {
	kind              licensing.JobKind
	done              string // what has happened to a license, for example "extended"
	date              string // the optional column of a file
	filter, file      string
	dry, partial, yes bool
}

func newBulk(kind licensing.JobKind, done, date string) *bulk {
	return &bulk{kind: kind, done: done, date: date}
}

func (b *bulk) flags(cmd *cobra.Command) {
	cmd.Args = b.args
	flags := cmd.Flags()
	flags.StringVar(&b.filter, "filter", "", "select many licenses: all, or conditions such as customer=ID,status=active")
	flags.StringVar(&b.file, "file", "", "select the licenses in this CSV file")
	flags.BoolVar(&b.dry, "dry-run", false, "with --filter or --file, show what would change without changing anything")
	flags.BoolVar(&b.partial, "partial", false, "with --filter or --file, change the licenses that can be changed even if others cannot")
	flags.BoolVar(&b.yes, "yes", false, "with --filter or --file, do not ask for confirmation")
}

// many reports whether the command is about many licenses.
func (b *bulk) many() bool { return b.filter != "" || b.file != "" }

// args accepts either one license or a selection of many.
func (b *bulk) args(cmd *cobra.Command, args []string) error {
	switch {
	case b.filter != "" && b.file != "" || b.many() && len(args) > 0:
		return usageError(cmd, "specify only one of LICENSE, --filter and --file")
	case !b.many() && (b.dry || b.partial || b.yes):
		return usageError(cmd, "--dry-run, --partial and --yes require --filter or --file")
	case !b.many():
		return exactly("LICENSE")(cmd, args)
	}
	return nil
}

// parts returns the requests that select the licenses. The first one creates the job.
func (b *bulk) parts(cmd *cobra.Command) ([]map[string]any, error) {
	if b.filter == "all" {
		return []map[string]any{{"all": true}}, nil
	}
	if b.filter != "" {
		filter, err := parseLicenseFilter(b.filter)
		if err != nil {
			return nil, usageError(cmd, "--filter: %v", err)
		}
		return []map[string]any{{"filter": filter}}, nil
	}
	text, err := readEncoded(b.file, "")
	if err != nil {
		return nil, err
	}
	rows, err := licensing.ReadLicenseRows(text, b.date)
	if err != nil {
		return nil, exitf(exitUsage, "%s: %w", b.file, err)
	}
	lines := make([]int, len(rows))
	for i, row := range rows {
		lines[i] = row.Line
	}
	var parts []map[string]any
	for _, part := range cutFile(text, lines) {
		parts = append(parts, map[string]any{"csv": part.csv, "first_line": part.firstLine, "more": true})
	}
	parts[len(parts)-1]["more"] = false
	return parts, nil
}

// parseLicenseFilter parses NAME=VALUE conditions that commas separate.
func parseLicenseFilter(text string) (map[string]any, error) {
	known := []string{"customer", "product", "plan", "revision", "status", "reference", "ends-before"}
	filter := map[string]any{}
	for _, part := range strings.Split(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		member := strings.ReplaceAll(name, "-", "_")
		_, twice := filter[member]
		switch {
		case !slices.Contains(known, name) || value == "":
			return nil, fmt.Errorf("%q is not all or NAME=VALUE with one of the names %s", part, strings.Join(known, ", "))
		case twice:
			return nil, fmt.Errorf("%s appears more than once", name)
		case name == "ends-before":
			when, err := licensing.ParseDate(value)
			if err != nil {
				return nil, err
			}
			filter[member] = when
		default:
			filter[member] = value
		}
	}
	return filter, nil
}

// changed is the result of a job that changes many licenses.
type changed struct {
	Job    licensing.JobID `json:"job"`
	Done   int64           `json:"done"`
	Failed int64           `json:"failed"`
	Errors []record        `json:"errors"`
}

// run changes the selected licenses as body says. Unless it was confirmed in advance, a dry run
// finds out how many they are, and a person confirms.
func (b *bulk) run(cmd *cobra.Command, c *cli, body map[string]any) error {
	parts, err := b.parts(cmd)
	if err != nil {
		return err
	}
	if b.dry || !b.yes {
		would, err := b.do(cmd.Context(), c, parts, body, true)
		if err != nil {
			return err
		}
		if b.dry || would.Failed > 0 && !b.partial {
			return b.print(c, would, true)
		}
		if would.Done == 0 && would.Failed == 0 {
			c.sayf("nothing changed: no license is selected")
			return nil
		}
		question := fmt.Sprintf("%s will be %s.", licensing.Counted(would.Done, "license"), b.done)
		if would.Failed > 0 {
			question += fmt.Sprintf(" %s cannot be.", licensing.Counted(would.Failed, "license"))
		}
		if err := c.agreed(question+" Continue?", "--yes"); err != nil {
			return err
		}
	}
	done, err := b.do(cmd.Context(), c, parts, body, false)
	if err != nil {
		return err
	}
	return b.print(c, done, false)
}

// do creates a job, follows it, and reads the first errors.
func (b *bulk) do(ctx context.Context, c *cli, parts []map[string]any, body map[string]any, dry bool) (changed, error) {
	var job v1.Job
	for n, part := range parts {
		request, path := maps.Clone(part), "/v1/jobs/"+string(b.kind)
		if n > 0 {
			path = jobPath(string(job.ID), "rows")
		} else {
			maps.Copy(request, body)
			request["dry_run"], request["partial"] = dry, b.partial
		}
		var err error
		if job, err = c.startJob(ctx, path, request); err != nil {
			return changed{}, err
		}
	}
	job, err := c.followJob(ctx, string(job.ID))
	if err != nil {
		return changed{}, err
	}
	result := changed{Job: job.ID, Done: job.Done - job.Failed, Failed: job.Failed, Errors: []record{}}
	if job.Status != licensing.JobSucceeded {
		if job.Status == licensing.JobStopped || job.Failed == 0 || job.Phase != "check" {
			return result, jobFailure(job)
		}
		result.Done = 0
	}
	if job.Failed > 0 {
		page, err := c.jobResults(ctx, string(job.ID), true, importShown)
		if err != nil {
			return result, err
		}
		if result.Errors, err = records(page.Items); err != nil {
			return result, err
		}
	}
	return result, nil
}

func (b *bulk) print(c *cli, r changed, dry bool) error {
	if c.asJSON() {
		if err := c.printJSON(r); err != nil {
			return err
		}
	} else {
		head := strings.ToUpper(b.done)
		if dry {
			head = "WOULD BE " + head
		}
		c.printFields(record{"done": r.Done, "failed": r.Failed, "job": r.Job}, column{head: head, path: "done"}, column{head: "FAILED", path: "failed"}, column{head: "JOB", path: "job"})
		if len(r.Errors) > 0 {
			c.printf("\n")
			c.printTable(r.Errors, column{head: "LINE", path: "line", rare: true}, column{head: "LICENSE", path: "license"}, column{head: "ERROR", path: "error.message"})
		}
	}
	if r.Failed > 0 {
		return &exit{status: exitFailed}
	}
	return nil
}
