package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write docs/cli.md anew")
	testscript.Main(m, map[string]func(){
		"copyhold": func() { os.Exit(Main(OS())) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("EXAMPLES", examples())
			env.Values[runningServer{}] = new(*testServer)
			return useGo(env)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"embed":         scriptEmbed,
			"example":       scriptExample,
			"example-again": scriptExampleAgain,
			"free":          scriptFree,
			"json":          scriptJSON,
			"keep":          scriptKeep,
			"page":          scriptPage,
			"server":        scriptServer,
			"spoil":         scriptSpoil,
			"status":        scriptStatus,
			"stop":          scriptStop,
			"stranger":      scriptStranger,
			"tamper":        scriptTamper,
		},
	})
}

func examples() string {
	path, _ := filepath.Abs(filepath.Join("..", "..", "examples"))
	return path
}

// scriptJSON asserts a member of the JSON that the last command printed:
// json PATH VALUE. A path joins members and indexes by dots.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH VALUE")
	}
	got := member(ts, args[0])
	if (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

// scriptKeep sets a variable to a member of the JSON that the last command printed: keep NAME PATH.
func scriptKeep(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATH")
	}
	ts.Setenv(args[0], member(ts, args[1]))
}

func member(ts *testscript.TestScript, path string) string {
	var value any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	ts.Check(d.Decode(&value))
	for _, name := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				ts.Fatalf("%s: no item %s of %d", path, name, len(v))
			}
			value = v[i]
		default:
			ts.Fatalf("%s: nothing below %v", path, value)
		}
	}
	return plain(value)
}

// scriptStranger checks a proof from the log with a program that imports only the standard
// library: stranger FILE.
func scriptStranger(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: stranger FILE")
	}
	var proof struct{ Leaf, Proof, Key string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &proof))
	entry, text := ts.MkAbs("stranger.entry"), ts.MkAbs("stranger.proof")
	ts.Check(os.WriteFile(entry, []byte(proof.Leaf), 0o600))
	ts.Check(os.WriteFile(text, []byte(proof.Proof), 0o600))
	out, err := exec.Command("go", "run", filepath.Join("..", "audit", "testdata", "prover", "main.go"), "inclusion", proof.Key, entry, text).CombinedOutput()
	if (err != nil) != neg {
		ts.Fatalf("%v: %s", err, out)
	}
}

// scriptSpoil changes one character of the document in a license file: spoil FROM TO.
func scriptSpoil(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: spoil FROM TO")
	}
	b, err := license.DecodeBundle([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	parts := strings.Split(b.Doc, ".")
	payload := []byte(parts[1])
	payload[len(payload)/2] ^= 1
	b.Doc = parts[0] + "." + string(payload) + "." + parts[2]
	text, err := license.EncodeBundle(b)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}

// scriptStatus runs a command that must end with an exit status: status N COMMAND...
func scriptStatus(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) {
		got = exited.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, not %d", got, want)
	}
}

// scriptEmbed writes a source file that contains a license key and a token: embed FILE. The key
// is in $KEY. They are created here so that no file in this repository looks as if it contained
// one.
func scriptEmbed(ts *testscript.TestScript, _ bool, args []string) {
	_, key := licensing.NewKey([4]byte{1}, [16]byte{2})
	token := access.NewToken("production", licensing.TokenID(licensing.NewID(licensing.TokenPrefix, time.Unix(0, 0), [10]byte{3})), [20]byte{4})
	ts.Setenv("KEY", key)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte("package main\nconst key = \""+key+"\"\nconst token = \""+token+"\"\n"), 0o600))
}
