package licensing

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestEventsSayTheirVersionAndRefuseWhatCannotBeWritten(t *testing.T) {
	e, err := NewEvent(LicenseIssued, "production", time.Unix(1, 0), "token tok_1", map[string]int{"seats": 5})
	if err != nil || e.Version != 1 || string(e.Data) != `{"seats":5}` {
		t.Fatalf("NewEvent = %+v, %v", e, err)
	}
	if _, err := NewEvent(LicenseIssued, "production", time.Time{}, "", func() {}); CodeOf(err) != Internal {
		t.Fatalf("an event with a function as data: %v", err)
	}
}

// TestEveryTypeOfEntryIsExplainedAndRecorded compares the list in docs/log.md with the
// constants, and each constant with the code that changes licensing state.
func TestEveryTypeOfEntryIsExplainedAndRecorded(t *testing.T) {
	page, err := os.ReadFile("../../docs/log.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Types of entries\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var explained []string
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 4 && strings.TrimSpace(cells[2]) != "" {
			for _, name := range regexp.MustCompile("`([a-z_.]+)`").FindAllStringSubmatch(cells[1], -1) {
				explained = append(explained, name[1])
			}
		}
	}
	recorded := sources(t, "../authority")
	known := typesOfEntries(t)
	for name, value := range known {
		if n := len(slices.DeleteFunc(slices.Clone(explained), func(e string) bool { return e != value })); n != 1 {
			t.Errorf("docs/log.md explains %s %d times", value, n)
		}
		if !regexp.MustCompile(`licensing\.` + name + `\b`).MatchString(recorded) {
			t.Errorf("nothing records %s", value)
		}
	}
	if len(explained) != len(known) {
		t.Errorf("docs/log.md explains %d types of entries, there are %d", len(explained), len(known))
	}
}

// typesOfEntries returns the values of the constants in event.go by their names.
func typesOfEntries(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if values[spec.Names[0].Name], err = strconv.Unquote(literal.Value); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	if len(values) < 70 {
		t.Fatalf("only %d types were found", len(values))
	}
	return values
}

// sources returns the text of a folder's Go files without its tests.
func sources(t *testing.T, folder string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
