package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"copyhold.dev/internal/client"
)

// A column is one field of a record: its heading, its path (member names joined by dots), and
// optionally how to write it. Tables omit a rare column if no row has a value for it.
type column struct {
	head, path string
	as         func(any) string
	rare       bool
}

// A record is one JSON object, with its numbers as they were written.
type record map[string]any

func records(items []json.RawMessage) ([]record, error) {
	all := make([]record, len(items))
	for i, item := range items {
		if err := readRecord(item, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func readRecord(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	return nil
}

// at returns the value at a path, or nil.
func (r record) at(path string) any {
	var value any = map[string]any(r)
	for _, name := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func (c column) cell(r record) string {
	value := r.at(c.path)
	if c.as != nil && value != nil {
		return oneLine(c.as(value))
	}
	return oneLine(plain(value))
}

// plain writes a JSON value for people: no quotes, no braces, "-" for nothing.
func plain(value any) string {
	switch v := value.(type) {
	case nil:
		return "-"
	case string:
		return orDash(toSecond(v))
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = plain(item)
		}
		return orDash(strings.Join(parts, ", "))
	case map[string]any:
		parts := make([]string, 0, len(v))
		for name, item := range v {
			parts = append(parts, name+"="+plain(item))
		}
		slices.Sort(parts)
		return orDash(strings.Join(parts, " "))
	}
	return fmt.Sprint(value)
}

// toSecond removes the fraction from an RFC 3339 time; other text is unchanged.
func toSecond(text string) string {
	if len(text) < len("2006-01-02T15:04:05.0Z") || text[4] != '-' {
		return text
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return t.Format(time.RFC3339)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// unixTime writes a number of seconds since 1970 as RFC 3339; zero means no time.
func unixTime(value any) string {
	number, ok := value.(json.Number)
	if !ok {
		return plain(value)
	}
	seconds, err := number.Int64()
	if err != nil || seconds == 0 {
		return "-"
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

// asJSON reports whether the command's output is for a program.
func (c *cli) asJSON() bool { return c.flags.output == "json" }

// printJSON writes one indented JSON value.
func (c *cli) printJSON(v any) error {
	e := json.NewEncoder(c.program.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printf prints text for people.
func (c *cli) printf(format string, args ...any) {
	fmt.Fprint(c.program.Stdout, legible(fmt.Sprintf(format, args...)))
}

// printList prints a list, as JSON or as a table.
func (c *cli) printList(p client.Page, columns ...column) error {
	if c.asJSON() {
		return c.printJSON(p)
	}
	rows, err := records(p.Items)
	if err != nil {
		return err
	}
	c.printTable(rows, columns...)
	if p.Next != "" {
		c.sayf("showing the first %d; use --limit 0 to show all", len(rows))
	}
	return nil
}

// printRecord prints one object, as JSON or as one line per field that has a value.
func (c *cli) printRecord(text json.RawMessage, columns ...column) error {
	if c.asJSON() {
		return c.printJSON(text)
	}
	var r record
	if err := readRecord(text, &r); err != nil {
		return err
	}
	c.printFields(r, columns...)
	return nil
}

func (c *cli) printFields(r record, columns ...column) {
	widest := 0
	for _, col := range columns {
		if r.at(col.path) != nil {
			widest = max(widest, width(col.head))
		}
	}
	for _, col := range columns {
		if r.at(col.path) != nil {
			c.printf("%s  %s\n", c.dim(pad(col.head, widest)), c.tint(col.cell(r)))
		}
	}
}

func (c *cli) printTable(rows []record, columns ...column) {
	if len(rows) == 0 {
		c.sayf("none")
		return
	}
	columns = slices.DeleteFunc(slices.Clone(columns), func(col column) bool {
		return col.rare && !slices.ContainsFunc(rows, func(r record) bool { return r.at(col.path) != nil })
	})
	cells := make([][]string, len(rows))
	widths := make([]int, len(columns))
	for i, col := range columns {
		widths[i] = width(col.head)
	}
	for n, row := range rows {
		cells[n] = make([]string, len(columns))
		for i, col := range columns {
			cells[n][i] = col.cell(row)
			widths[i] = max(widths[i], width(cells[n][i]))
		}
	}
	line := func(paint func(string) string, cell func(int) string) {
		for i := range columns {
			if i == len(columns)-1 {
				c.printf("%s\n", paint(cell(i)))
				return
			}
			c.printf("%s  ", paint(pad(cell(i), widths[i])))
		}
	}
	line(c.dim, func(i int) string { return columns[i].head })
	for _, row := range cells {
		line(c.tint, func(i int) string { return row[i] })
	}
}

func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-width(text)))
}

// tints are the words that are shown in color.
var tints = map[string]string{
	"active": "32", "valid": "32", "allowed": "32", "ok": "32",
	"stale": "33", "grace": "33", "degraded": "33", "suspended": "33", "unavailable": "33", "warning": "33", "queued": "33",
	"denied": "31", "revoked": "31", "failed": "31",
}

func (c *cli) tint(text string) string {
	code, ok := tints[strings.TrimSpace(text)]
	if !ok || !c.colors(c.program.Stdout) {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (c *cli) dim(text string) string {
	if !c.colors(c.program.Stdout) {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}

// colors reports whether to use colors on w: it is a terminal, and they are not disabled.
func (c *cli) colors(w io.Writer) bool {
	return isTerminal(w) && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"
}

// isTerminal reports whether stream is a terminal. It asks the operating system, because
// /dev/null is also a character device and can be called /dev/stdin.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
