package cli

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// useGo lets scripts build programs with the environment and build cache of the user who runs
// the tests. COPYHOLD_SOURCE is this repository.
func useGo(env *testscript.Env) error {
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			return err
		}
		env.Setenv(name, strings.TrimSpace(string(value)))
	}
	source, err := filepath.Abs(filepath.Join("..", ".."))
	env.Setenv("COPYHOLD_SOURCE", source)
	return err
}

// scriptFree sets a variable to a free address of this machine: free NAME.
func scriptFree(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: free NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// scriptPage writes the commands of a page to one script, from top to bottom: page FILE SCRIPT.
// The commands use the server at $LISTEN instead of the port in the page, which may be in use.
// Processes that they start end with the script.
func scriptPage(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: page FILE SCRIPT")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", args[0]))
	ts.Check(err)
	script := "set -eu\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n" + strings.Join(commandsOf(string(text)), "")
	script = strings.ReplaceAll(script, "127.0.0.1:7400", ts.Getenv("LISTEN"))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(script), 0o600))
}

// commandsOf returns the blocks of a page that are marked as sh.
func commandsOf(page string) (blocks []string) {
	var block strings.Builder
	in := false
	for line := range strings.Lines(page) {
		switch {
		case in && strings.HasPrefix(line, "```"):
			blocks = append(blocks, block.String())
			block.Reset()
			in = false
		case in:
			block.WriteString(line)
		default:
			in = strings.TrimSpace(line) == "```sh"
		}
	}
	return blocks
}

func TestCommandsOfAPage(t *testing.T) {
	got := commandsOf("text\n```sh\na\nb\n```\n```\noutput\n```\n```go\nc\n```\n```sh\nd\n```\n")
	if strings.Join(got, "|") != "a\nb\n|d\n" {
		t.Errorf("%q", got)
	}
}
