package licensing

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"copyhold.dev/sdk/license"
)

// An ImportRow is a license to import. It has the line where its row begins, with the
// header as line 1, and its fields by column, without surrounding spaces.
type ImportRow struct {
	Line   int
	Fields map[string]string
}

// An ImportFault is a row that cannot be imported, and the reason.
type ImportFault struct {
	Line int
	Err  error // Invalid
}

// ImportColumns returns the columns of an import file. The first three are required.
func ImportColumns() []string {
	return []string{"key", "customer", "plan", "product", "channel", "revision", "edition", "start", "end", "reference", "payment"}
}

// ReadImport reads CSV with a header, separated by commas, or by semicolons if the header
// is. Rows without any content are skipped. A faulty row does not hide the others. The error
// is about the header, without which no row can be read.
func ReadImport(text string) (rows []ImportRow, faults []ImportFault, err error) {
	return readRows(text, rowFormat{columns: ImportColumns(), required: 3, unique: []string{"key", "reference"}})
}

// A rowFormat describes a file with a header.
type rowFormat struct {
	columns  []string
	required int      // how many of the columns, the first ones, must be there
	unique   []string // columns in which no value can be repeated
}

// readRows reads a file as ReadImport does.
func readRows(text string, format rowFormat) (rows []ImportRow, faults []ImportFault, err error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.TrimLeadingSpace, r.FieldsPerRecord, r.ReuseRecord = true, -1, true
	first, _, _ := strings.Cut(strings.TrimLeft(text, "\ufeff\r\n"), "\n")
	if strings.Contains(first, ";") && !strings.Contains(first, ",") {
		r.Comma = ';'
	}
	header, err := r.Read()
	if err != nil {
		return nil, nil, Errorf(Invalid, "the file has no header: %w", err).At("csv")
	}
	if header, err = format.header(header); err != nil {
		return nil, nil, err
	}
	seen := map[string]int{}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, faults, nil
		}
		if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
			faults = append(faults, ImportFault{wrong.StartLine, Errorf(Invalid, "the row is not CSV: %w", wrong.Err)})
			continue
		}
		if err != nil {
			return nil, nil, Errorf(Invalid, "reading the file: %w", err).At("csv")
		}
		if strings.TrimSpace(strings.Join(fields, "")) == "" {
			continue
		}
		line, _ := r.FieldPos(0)
		row := ImportRow{Line: line, Fields: make(map[string]string, len(header))}
		if err := row.fill(header, fields, format.unique, seen); err != nil {
			faults = append(faults, ImportFault{line, err})
			continue
		}
		rows = append(rows, row)
	}
}

// header returns the names of the columns.
func (format rowFormat) header(fields []string) ([]string, error) {
	known := format.columns
	header := make([]string, len(fields))
	for n, name := range fields {
		header[n] = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(known, header[n]) || slices.Contains(header[:n], header[n]) {
			return nil, Errorf(Invalid, "column %q is unknown or duplicated; the columns are %s", name, strings.Join(known, ", ")).At("csv")
		}
	}
	for _, name := range known[:format.required] {
		if !slices.Contains(header, name) {
			return nil, Errorf(Invalid, "column %s is missing", name).At("csv")
		}
	}
	return header, nil
}

// fill sets the fields of the row. Seen contains the unique values of earlier rows.
func (row *ImportRow) fill(header, fields, unique []string, seen map[string]int) error {
	if len(fields) < len(header) || strings.TrimSpace(strings.Join(fields[len(header):], "")) != "" {
		return Errorf(Invalid, "the row has %s, but the header has %d", Counted(int64(len(fields)), "field"), len(header))
	}
	for n, name := range header {
		value := strings.TrimSpace(fields[n])
		if r, hidden := license.Invisible(value); hidden {
			return Errorf(Invalid, "the %s contains U+%04X, an invisible character", name, r)
		}
		row.Fields[name] = strings.Clone(value)
	}
	for _, name := range unique {
		id := name + " " + row.Fields[name]
		if row.Fields[name] == "" {
			continue
		}
		if line, twice := seen[id]; twice {
			return Errorf(Invalid, "the %s is already used in line %d", name, line)
		}
		seen[id] = row.Line
	}
	return nil
}

// WriteImport writes rows as a file that ReadImport reads, one row on each line.
func WriteImport(rows []ImportRow) (string, error) {
	var text strings.Builder
	w := csv.NewWriter(&text)
	columns := slices.DeleteFunc(ImportColumns(), func(name string) bool {
		return !slices.ContainsFunc(rows, func(row ImportRow) bool { _, ok := row.Fields[name]; return ok })
	})
	record := slices.Clone(columns)
	for n := -1; n < len(rows); n++ {
		if n >= 0 {
			for i, name := range columns {
				record[i] = rows[n].Fields[name]
			}
		}
		if err := w.Write(record); err != nil {
			return "", fmt.Errorf("writing the rows to import: %w", err)
		}
	}
	w.Flush()
	return text.String(), w.Error()
}
