package signing_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"copyhold.dev/sdk/license"
)

// TestNpmJoseAcceptsEveryAcceptedDocument runs jose for Node.js over the
// vectors; those of alg Ed25519 too, which it knows. It needs node and npm.
func TestNpmJoseAcceptsEveryAcceptedDocument(t *testing.T) {
	folder := filepath.Join("testdata", "jose")
	install(t, folder)
	var refused []vector
	read(t, "refused.json", &refused)
	var input struct {
		Accepted []document `json:"accepted"`
		Refused  []document `json:"refused"`
	}
	input.Accepted = acceptedDocuments(t)
	x := input.Accepted[0].X
	for _, v := range refused {
		if v.Op == "license" && (v.Error == "Signature" || v.Name == "header: alg none" || v.Name == "header: crit") {
			input.Refused = append(input.Refused, document{v.Name, v.Doc, x, license.AlgEdDSA})
		}
	}
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	verify := exec.CommandContext(t.Context(), "node", "verify.mjs")
	verify.Dir, verify.Stdin, verify.Stderr = folder, bytes.NewReader(text), os.Stderr
	out, err := verify.Output()
	if err != nil {
		t.Fatal(err)
	}
	var result struct {
		Verified   int
		Complaints []string
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Fatal(err)
	}
	for _, complaint := range result.Complaints {
		t.Error(complaint)
	}
	if result.Verified < len(input.Accepted) {
		t.Errorf("%d of %d verified", result.Verified, len(input.Accepted))
	}
}

// install fetches the one package that the lock file names, unless it is there.
func install(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "jose", "package.json")); err == nil {
		return
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir = folder
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
}
