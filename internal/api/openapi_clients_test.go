package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"copyhold.dev/internal/store/storetest"
)

// TestTheDocumentPassesRedoclyAndSpectral fails on warnings too. It needs node and npm.
func TestTheDocumentPassesRedoclyAndSpectral(t *testing.T) {
	tools, document := npmTools(t), fetchDocument(t, newDeployment(t, storetest.SQLite(t), everyModel))
	tool(t, tools, "node", "node_modules/@redocly/cli/bin/cli.js", "lint", "--config", "redocly.yaml", document)
	tool(t, tools, "node", "node_modules/@stoplight/spectral-cli/dist/index.js", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint", document)
}

// TestATypeScriptClientIsMadeFromTheDocument generates types, compiles a program that
// uses them, and runs it. It needs node and npm.
func TestATypeScriptClientIsMadeFromTheDocument(t *testing.T) {
	tools, d := npmTools(t), newDeployment(t, storetest.SQLite(t), everyModel)
	folder := t.TempDir()
	for _, name := range []string{"client.ts", "package.json", "tsconfig.json"} {
		text, err := os.ReadFile(filepath.Join(tools, name))
		d.check(err)
		d.check(os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	d.check(os.Symlink(filepath.Join(tools, "node_modules"), filepath.Join(folder, "node_modules")))
	tool(t, folder, "node", "node_modules/openapi-typescript/bin/cli.js", fetchDocument(t, d), "--output", "copyhold.ts")
	tool(t, folder, "node", "node_modules/typescript/bin/tsc")
	d.wantFromClient(tool(t, folder, "node", "client.js", d.url, d.key), "recorded", "recorded")
}

// TestAGoClientIsMadeFromTheDocument generates a package with oapi-codegen, compiles a
// program that uses it, and runs it.
func TestAGoClientIsMadeFromTheDocument(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	folder := t.TempDir()
	d.check(os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "clients", "go"))))
	d.check(os.Mkdir(filepath.Join(folder, "copyhold"), 0o700))
	tool(t, folder, "go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", fetchDocument(t, d))
	program := filepath.Join(folder, "client")
	tool(t, folder, "go", "build", "-trimpath", "-o", program, ".")
	d.wantFromClient(tool(t, folder, program, d.url, d.key), "recorded")
}

// wantFromClient compares a client's output with the answers that the server must give.
func (d *deployment) wantFromClient(printed []byte, usage ...any) {
	d.t.Helper()
	var got map[string]any
	d.check(json.Unmarshal(printed, &got))
	want := map[string]any{"outcome": "allowed", "lease": 201.0, "usage": usage, "problem": "conflict"}
	if diff := cmp.Diff(want, got); diff != "" {
		d.t.Errorf("the client was answered (-want +got):\n%s", diff)
	}
}

// fetchDocument returns the path of a file with the OpenAPI document of d.
func fetchDocument(t *testing.T, d *deployment) string {
	t.Helper()
	var document json.RawMessage
	d.get("/openapi.json", &document)
	path := filepath.Join(t.TempDir(), "openapi.json")
	d.check(os.WriteFile(path, document, 0o600))
	return path
}

// npmTools returns the folder of the packages that its lock file names, which are installed unless
// they are there.
func npmTools(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("testdata", "clients"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	// The copy of the lock file is written last, so an interrupted or older installation has none like it.
	mark := filepath.Join(folder, "node_modules", "installed-lock.json")
	installed, err := os.ReadFile(mark)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if bytes.Equal(installed, lock) {
		return folder
	}
	tool(t, folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	if err := os.WriteFile(mark, lock, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// tool runs a command in folder and returns what it printed.
func tool(t *testing.T, folder, name string, args ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = folder
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", slices.Concat([]string{name}, args), err, out, stderr.Bytes())
	}
	return out
}
