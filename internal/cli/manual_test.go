package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManualIsTrue compares docs/cli.md with the commands. The text before the first command is
// written by hand; the rest is generated from their help. With -update, the test writes it again.
func TestManualIsTrue(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	file := filepath.Join("..", "..", "docs", "cli.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	intro, _, found := strings.Cut(string(text), manualMark)
	if !found {
		t.Fatalf("%s has no line %q", file, manualMark)
	}
	want := intro + manualMark + reference()
	if update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s differs from the commands: go test ./internal/cli -run Manual -update", file)
	}
}

const manualMark = "<!-- from here on: go test ./internal/cli -run Manual -update -->\n"

func reference() string {
	var text strings.Builder
	root := blank().rootCommand()
	fmt.Fprintf(&text, "\n## Flags of every command\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	walk(root, func(cmd *cobra.Command) {
		if cmd == root || cmd.Hidden || cmd.Name() == "help" {
			return
		}
		describe(&text, cmd)
	})
	return text.String()
}

func describe(text *strings.Builder, cmd *cobra.Command) {
	level := strings.Repeat("#", 1+len(strings.Fields(cmd.CommandPath())))
	fmt.Fprintf(text, "\n%s %s\n\n", level[:min(len(level), 4)], cmd.CommandPath())
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	fmt.Fprintf(text, "%s\n\n```\n", long)
	if !cmd.HasSubCommands() {
		fmt.Fprintf(text, "copyhold %s%s\n\n", strings.TrimPrefix(cmd.CommandPath(), "copyhold ")+strings.TrimPrefix(cmd.Use, cmd.Name()), optional(cmd.LocalNonPersistentFlags()))
	}
	fmt.Fprintf(text, "%s\n```\n", cmd.Example)
	own := cmd.LocalNonPersistentFlags()
	if usages := own.FlagUsages(); usages != "" && !cmd.HasSubCommands() {
		fmt.Fprintf(text, "\n```\n%s```\n", usages)
	}
}

func optional(flags *pflag.FlagSet) string {
	if flags.HasAvailableFlags() {
		return " [flags]"
	}
	return ""
}

// TestPagesNameRealCommands parses every command line in the pages that people copy from.
func TestPagesNameRealCommands(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, line := range commandLines(string(text)) {
			for _, words := range invocations(line) {
				if err := parses(words); err != nil {
					t.Errorf("%s: %q: %v", filepath.Base(page), line, err)
				}
			}
		}
	}
}

// commandLines returns the lines in fenced blocks that begin with copyhold, with or without a
// prompt.
func commandLines(text string) []string {
	var lines []string
	fenced := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
			continue
		}
		command := strings.TrimPrefix(line, "$ ")
		first, _, _ := strings.Cut(command, " ")
		if fenced && (first == "copyhold" || strings.HasSuffix(first, "/copyhold")) && !strings.Contains(command, "[flags]") {
			command, _, _ = strings.Cut(command, " #")
			lines = append(lines, command)
		}
	}
	return lines
}
