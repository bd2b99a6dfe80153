// Generate writes the known-answer vectors to the folder next to it. It derives everything from
// fixed names, so it writes the same bytes each time:
//
//	cd sdk && go run ./license/testdata/generate
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A Vector is one call of a verifier; README.md in the vectors' folder describes it.
type Vector struct {
	Name    string   `json:"name"`
	Op      string   `json:"op"`
	Error   string   `json:"error,omitempty"` // "" if accepted
	Why     string   `json:"why"`
	Trust   string   `json:"trust,omitempty"`
	Now     int64    `json:"now,omitempty"`
	Known   bool     `json:"known,omitempty"`
	Doc     string   `json:"doc,omitempty"`
	List    []string `json:"list,omitempty"`
	Chain   []string `json:"chain,omitempty"`
	Nonce   string   `json:"nonce,omitempty"`
	Held    string   `json:"held,omitempty"`
	Data    []byte   `json:"data,omitempty"`
	Pad     int      `json:"pad,omitempty"`
	Flipped bool     `json:"flipped,omitempty"`
}

// A Trust is the initial trust of a verifier.
type Trust struct {
	Issuer   string     `json:"issuer"`
	Product  string     `json:"product"`
	Auditor  bool       `json:"auditor,omitempty"` // accepts every product
	Pinned   []string   `json:"pinned"`
	RootSets [][]string `json:"rootsets,omitempty"`
	KeySet   []string   `json:"keyset,omitempty"`
	Floor    []string   `json:"floor,omitempty"` // a built-in key set
}

func main() {
	folder := filepath.Join("license", "testdata", "vectors")
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	w := newWorld()
	w.accept()
	w.refuse()
	seen := map[string]bool{}
	for _, v := range append(append([]Vector{}, w.accepted...), w.refused...) {
		if seen[v.Name] {
			fmt.Fprintln(os.Stderr, "name twice:", v.Name)
			os.Exit(1)
		}
		seen[v.Name] = true
	}
	for name, content := range map[string]any{
		"trust.json": w.trust, "accepted.json": w.accepted, "refused.json": w.refused, "ladder.json": ladders(), "seal.json": seals(), "licensekey.json": licenseKeys(),
	} {
		if err := write(filepath.Join(folder, name), content); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d accepted, %d refused\n", len(w.accepted), len(w.refused))
}

func write(name string, content any) error {
	text, err := json.MarshalIndent(content, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
