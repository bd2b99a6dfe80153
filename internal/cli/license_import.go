package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/text/encoding/ianaindex"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

const (
	// maxImport is the maximum size of an import file, in bytes: about 600,000 rows.
	maxImport = 64 << 20
	// importPart is the number of rows in one request. The server stores them in one
	// transaction, and leases must wait for it.
	importPart = 2000
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
If any row has an error, nothing is imported: import lists each such row with its line
and reason, and ends with exit status 1. It sends a large file in parts of 2000 rows and
checks all parts before it imports the first. If the server fails midway, repeat the
command with --partial: it imports the remaining rows and reports the rows that were
already imported as errors.

The file must be UTF-8, or UTF-16 with a byte-order mark. For any other encoding, use
--encoding, for example --encoding ISO-8859-1 or windows-1252. Encodings are never guessed.`,
		Example: "  copyhold license import old-keys.csv --dry-run\n  copyhold license import old-keys.csv\n  copyhold license import export.csv --encoding windows-1252",
		Args:    exactly("FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readEncoded(args[0], encoding)
			if err != nil {
				return err
			}
			rows, faults, err := licensing.ReadImport(text)
			if err != nil {
				return exitf(exitUsage, "%s: %w", args[0], err)
			}
			for _, f := range faults {
				i.fail(imported{Failed: 1, Errors: []importError{{f.Line, licensing.CodeOf(f.Err), f.Err.Error()}}})
			}
			if err := i.run(cmd.Context(), c, rows); err != nil {
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

// imported is the result of an import, in the form that the server returns for each part.
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

// fail adds the errors of one part.
func (i *importing) fail(part imported) {
	i.Failed += part.Failed
	i.Errors = append(i.Errors, part.Errors...)
}

// show adds the licenses that a dry run of one part returned, with their line numbers in the
// whole file.
func (i *importing) show(part []licensing.ImportRow, would []record) {
	for _, l := range would[:min(len(would), importShown-len(i.Licenses))] {
		n, _ := l["line"].(json.Number)
		line, err := n.Int64()
		if row := int(line) - 2; err == nil && row >= 0 && row < len(part) { // line 1 is the part's header
			l["line"] = part[row].Line
		}
		i.Licenses = append(i.Licenses, l)
	}
}

// run checks all parts and then imports them. If all rows fit in one request, or with
// --partial, checking and importing are one step.
func (i *importing) run(ctx context.Context, c *cli, rows []licensing.ImportRow) error {
	whole := len(rows) <= importPart && i.Failed == 0
	if !i.partial && !whole || i.dry {
		n, err := i.send(ctx, c, rows, map[string]any{"dry_run": true})
		if err != nil || i.dry || i.Failed > 0 {
			if i.dry {
				i.Imported = n
			}
			return err
		}
	}
	n, err := i.send(ctx, c, rows, map[string]any{"partial": i.partial})
	i.Imported = n
	if err != nil && n > 0 {
		return fmt.Errorf("imported %d of %d rows; rerun with --partial to import the others: %w", n, len(rows), err)
	}
	return err
}

// send sends the rows in parts and returns how many were valid. It stops at the first part
// with an error, except in a dry run or with --partial.
func (i *importing) send(ctx context.Context, c *cli, rows []licensing.ImportRow, how map[string]any) (good int, err error) {
	for part := range slices.Chunk(rows, importPart) {
		text, err := licensing.WriteImport(part)
		if err != nil {
			return good, err
		}
		body := map[string]any{"csv": text}
		for name, value := range how {
			body[name] = value
		}
		a, err := c.do(ctx, client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/licenses/import", Body: body})
		if err != nil {
			return good, err
		}
		var done imported
		if err := readRecord(a.Body, &done); err != nil {
			return good, err
		}
		for n, e := range done.Errors {
			if row := e.Line - 2; row >= 0 && row < len(part) { // line 1 is the part's header
				done.Errors[n].Line = part[row].Line
			}
		}
		good += done.Imported
		i.fail(done)
		i.show(part, done.Licenses)
		if done.Failed > 0 && !i.partial && how["dry_run"] == nil {
			return good, nil
		}
	}
	return good, nil
}

// printImported prints the number of rows, the error of each invalid row, and the licenses of
// a dry run.
func (c *cli) printImported(i importing) error {
	slices.SortStableFunc(i.Errors, func(a, b importError) int { return a.Line - b.Line })
	i.Errors = append([]importError{}, i.Errors[:min(len(i.Errors), importShown)]...)
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
