package cli

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/text/encoding/ianaindex"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

const (
	// maxImport is the maximum size of an import file, in bytes: about 600,000 rows.
	maxImport = 64 << 20
	// importPart and importBytes limit what is sent in one request.
	importPart  = 5000
	importBytes = 2 << 20
	// importShown is how many rows with errors are listed, and how many valid rows in a dry run.
	importShown = 100
)

func (c *cli) licenseImportCommand() *cobra.Command {
	var i importing
	var encoding string
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Import license keys from another system, so that programs can keep using them",
		Long: `Import reads a CSV file with a header and issues one license, with the key in the file,
for each row. The columns key, customer and plan are required; product, channel, revision,
edition, start, end, reference and payment are optional. Identify a customer by id or by
ref:REFERENCE. Separate fields with commas, or with semicolons if the header does. Empty
rows are skipped.

A dry run imports nothing and shows the licenses that the first 100 rows would become.
If any row has an error, nothing is imported: import lists the first 100 such rows with
their lines and reasons, and ends with exit status 1. With --partial, the other rows are
imported.

The server imports in the background, as a job, and import shows its progress. If the
command is interrupted, the job continues; copyhold job show --follow follows it again.

The file must be UTF-8, or UTF-16 with a byte-order mark. For any other encoding, use
--encoding, for example --encoding ISO-8859-1 or windows-1252. Encodings are never guessed.`,
		Example: "  copyhold license import old-keys.csv --dry-run\n  copyhold license import old-keys.csv\n  copyhold license import export.csv --encoding windows-1252",
		Args:    exactly("FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readEncoded(args[0], encoding)
			if err != nil {
				return err
			}
			parts, err := importParts(text)
			if err != nil {
				return exitf(exitUsage, "%s: %w", args[0], err)
			}
			if err := i.run(cmd.Context(), c, parts); err != nil {
				return err
			}
			return c.printImported(i)
		},
	}
	cmd.Flags().BoolVar(&i.partial, "partial", false, "import the valid rows even if other rows have errors")
	cmd.Flags().BoolVar(&i.dry, "dry-run", false, "show what would be imported, without importing anything")
	cmd.Flags().StringVar(&encoding, "encoding", "", "IANA name of the file's encoding, if it is not UTF-8 or UTF-16")
	return cmd
}

// readEncoded reads a text file in the named encoding. With "", the file must be UTF-8 or
// have a byte-order mark.
func readEncoded(name, encoding string) (string, error) {
	data, err := client.ReadFile(name, maxImport)
	if err != nil {
		return "", exitf(exitUsage, "%w", err)
	}
	if encoding != "" {
		from, err := ianaindex.IANA.Encoding(encoding)
		if err != nil || from == nil {
			return "", exitf(exitUsage, "--encoding: unknown encoding %q: use a name such as ISO-8859-1, windows-1252 or UTF-16LE", encoding)
		}
		if data, err = from.NewDecoder().Bytes(data); err != nil {
			return "", exitf(exitUsage, "%s is not encoded as %s: %w", name, encoding, err)
		}
		if before, _, lost := strings.Cut(string(data), string(utf8.RuneError)); lost {
			return "", exitf(exitUsage, "%s:%d: invalid byte for %s", name, 1+strings.Count(before, "\n"), encoding)
		}
	}
	text, err := license.DecodeText(name, data)
	if err != nil && encoding == "" {
		return "", exitf(exitUsage, "%w, or specify its encoding with --encoding", err)
	}
	if err != nil {
		return "", exitf(exitUsage, "%w", err)
	}
	return text, nil
}

// imported is the result of an import.
type imported struct {
	Imported int           `json:"imported"`
	Failed   int           `json:"failed"`
	Errors   []importError `json:"errors"`
	Licenses []record      `json:"licenses,omitempty"` // the licenses of a dry run
}

type importError struct {
	Line    int            `json:"line"`
	Code    licensing.Code `json:"code"`
	Message string         `json:"message"`
}

// importing is one import command.
type importing struct {
	dry, partial bool
	imported
}

// An importText is a part of an import file, with the header.
type importText struct {
	csv       string
	firstLine int // of the first row, in the file
}

// importParts cuts a file into parts that one request can have.
func importParts(text string) ([]importText, error) {
	rows, faults, err := licensing.ReadImport(text)
	if err != nil {
		return nil, err
	}
	begins := make([]int, 0, len(rows)+len(faults)) // lines at which a row begins
	for _, row := range rows {
		begins = append(begins, row.Line)
	}
	for _, f := range faults {
		begins = append(begins, f.Line)
	}
	slices.Sort(begins)
	return cutFile(text, begins), nil
}

// cutFile cuts a file with a header before rows, which begin at the given lines.
func cutFile(text string, begins []int) []importText {
	lines := strings.SplitAfter(strings.TrimPrefix(text, "\ufeff"), "\n")
	header := slices.IndexFunc(lines, func(line string) bool { return strings.TrimSpace(line) != "" })
	var parts []importText
	for len(begins) > 0 {
		n, size := 0, 0
		for ; n < min(len(begins), importPart) && (n == 0 || size < importBytes); n++ {
			until := len(lines) + 1
			if n+1 < len(begins) {
				until = begins[n+1]
			}
			for _, line := range lines[begins[n]-1 : until-1] {
				size += len(line)
			}
		}
		until := len(lines) + 1
		if n < len(begins) {
			until = begins[n]
		}
		parts = append(parts, importText{lines[header] + strings.Join(lines[begins[0]-1:until-1], ""), begins[0]})
		begins = begins[n:]
	}
	if len(parts) == 0 {
		parts = []importText{{lines[header], 2}}
	}
	return parts
}

// run sends the parts to a job and follows it.
func (i *importing) run(ctx context.Context, c *cli, parts []importText) error {
	var job v1.Job
	for n, part := range parts {
		body := map[string]any{"csv": part.csv, "first_line": part.firstLine, "more": n+1 < len(parts)}
		path := "/v1/jobs/license-import"
		if n > 0 {
			path = jobPath(string(job.ID), "rows")
		} else {
			body["dry_run"], body["partial"] = i.dry, i.partial
		}
		var err error
		if job, err = c.startJob(ctx, path, body); err != nil {
			return err
		}
	}
	id := string(job.ID)
	job, err := c.followJob(ctx, id)
	if err != nil {
		return err
	}
	i.Failed, i.Errors = int(job.Failed), []importError{}
	switch {
	case job.Status == licensing.JobSucceeded:
		i.Imported = int(job.Done - job.Failed)
	case job.Status == licensing.JobStopped || job.Failed == 0 || job.Phase != "check":
		return jobFailure(job)
	}
	return i.read(ctx, c, id)
}

// read reads the errors of a job, and the licenses of a dry run.
func (i *importing) read(ctx context.Context, c *cli, id string) error {
	for _, failed := range []bool{true, false} {
		if failed && i.Failed == 0 || !failed && !i.dry {
			continue
		}
		page, err := c.jobResults(ctx, id, failed, importShown)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			var r struct {
				Line       int          `json:"line"`
				Error      *importError `json:"error"`
				Importable record       `json:"importable"`
			}
			if err := readRecord(item, &r); err != nil {
				return err
			}
			if failed {
				r.Error.Line = r.Line
				i.Errors = append(i.Errors, *r.Error)
			} else if r.Importable != nil {
				i.Licenses = append(i.Licenses, r.Importable)
			}
		}
	}
	return nil
}

// printImported prints the number of rows, the error of each invalid row, and the licenses of
// a dry run.
func (c *cli) printImported(i importing) error {
	if c.asJSON() {
		if err := c.printJSON(i.imported); err != nil {
			return err
		}
	} else {
		c.showImported(i)
	}
	if i.Failed > 0 {
		return &exit{status: exitFailed}
	}
	return nil
}

func (c *cli) showImported(i importing) {
	head := "IMPORTED"
	if i.dry {
		head = "WOULD BE IMPORTED"
	}
	c.printFields(record{"imported": i.Imported, "failed": i.Failed}, column{head: head, path: "imported"}, column{head: "FAILED", path: "failed"})
	if len(i.Errors) > 0 {
		rows := make([]record, len(i.Errors))
		for n, e := range i.Errors {
			rows[n] = record{"line": e.Line, "message": e.Message}
		}
		c.printf("\n")
		c.printTable(rows, column{head: "LINE", path: "line"}, column{head: "ERROR", path: "message"})
	}
	if len(i.Licenses) > 0 {
		c.printf("\n")
		c.printTable(i.Licenses, column{head: "LINE", path: "line"}, column{head: "CUSTOMER", path: "customer"}, column{head: "NAME", path: "customer_name"},
			column{head: "PRODUCT", path: "product"}, column{head: "PLAN", path: "plan"}, column{head: "EDITION", path: "edition", rare: true},
			column{head: "START", path: "start"}, column{head: "END", path: "end"}, column{head: "PAYMENT", path: "payment"},
			column{head: "REFERENCE", path: "reference", rare: true})
		if i.Imported > len(i.Licenses) {
			c.sayf("showing the first %d of %d", len(i.Licenses), i.Imported)
		}
	}
}
