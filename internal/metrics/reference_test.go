package metrics_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the table of instruments in docs/operations.md")

// TestReferenceIsTrue compares the table of instruments in docs/operations.md with the code.
func TestReferenceIsTrue(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "operations.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- metrics -->\n", "<!-- end of metrics -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	want := before + begin + reference(t) + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s differs from the instruments: go test ./internal/metrics -run Reference -update", file)
	}
}

// reference is a table of every instrument that the registry knows.
func reference(t *testing.T) string {
	t.Helper()
	m, _ := used()
	kinds := map[string]string{}
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		kinds[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	registry, ok := m.Gatherer().(prometheus.Collector)
	if !ok {
		t.Fatal("the registry can't be described")
	}
	described := make(chan *prometheus.Desc)
	go func() { registry.Describe(described); close(described) }()
	parts := regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)", .*variableLabels: \{([^}]*)\}`)
	var rows []string
	for d := range described {
		found := parts.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("not understood: %s", d)
		}
		name, help, labels := found[1], found[2], found[3]
		if !strings.HasPrefix(name, "copyhold_") {
			continue
		}
		if kinds[name] == "" {
			t.Errorf("%s is described, and the test that uses every instrument does not use it", name)
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kinds[name], strings.ReplaceAll(labels, ",", ", "), help)
		rows = append(rows, row)
	}
	slices.Sort(rows)
	return "| instrument | kind | labels | what it shows |\n|---|---|---|---|\n" + strings.Join(slices.Compact(rows), "")
}
