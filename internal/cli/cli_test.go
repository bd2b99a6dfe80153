package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, child := range cmd.Commands() {
		walk(child, visit)
	}
}

func TestEveryCommandShowsAnExample(t *testing.T) {
	c := blank()
	walk(c.rootCommand(), func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Hidden {
			return
		}
		if cmd.Short == "" || !strings.Contains(cmd.Example, "copyhold ") {
			t.Errorf("%s: help has no description or no example", cmd.CommandPath())
		}
		if !cmd.Runnable() {
			t.Errorf("%s does nothing", cmd.CommandPath())
		}
	})
}

// TestExamplesAreCommands parses the command line of every example, so that help never names
// a flag or a command that does not exist.
func TestExamplesAreCommands(t *testing.T) {
	c := blank()
	walk(c.rootCommand(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			for _, words := range invocations(line) {
				if err := parses(words); err != nil {
					t.Errorf("%s: example %q: %v", cmd.CommandPath(), strings.TrimSpace(line), err)
				}
			}
		}
	})
}

// invocations finds the arguments of each copyhold command in a line of shell.
func invocations(line string) [][]string {
	var found [][]string
	line = strings.ReplaceAll(line, " 2>", " >")
	for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune("|;()<>&`", r) }) {
		words := shellWords(part)
		for i, word := range words {
			if word == "copyhold" || strings.HasSuffix(word, "/copyhold") {
				found = append(found, words[i+1:])
				break
			}
			if !strings.Contains(word, "=") && word != "$" {
				break
			}
		}
	}
	return found
}

// shellWords splits at spaces outside of single quotes.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// parses finds the command in a line and parses its flags and arguments without running it.
func parses(words []string) error {
	c := blank()
	root := c.rootCommand()
	cmd, rest, err := root.Find(words)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return usageError(cmd, "unknown command %q", cmd.Flags().Arg(0))
	}
	if help, _ := cmd.Flags().GetBool("help"); help {
		return nil
	}
	if v := cmd.Flags().Lookup("version"); v != nil && v.Changed {
		return nil
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	return cmd.ValidateRequiredFlags()
}

// blank returns a run of the program without input, output or environment.
func blank() *cli {
	return &cli{program: Program{Args: []string{"copyhold"}, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}}
}
