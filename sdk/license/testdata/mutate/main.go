// Mutate shows that every check of the verifier is needed. It removes each check in turn and runs
// the vectors, of which at least one must fail.
//
//	cd sdk && go run ./license/testdata/mutate
//
// It finds checks in the syntax tree, so they need no marks. These count as checks: a condition
// whose body refuses, each part of a condition joined by ||, a case that refuses, a refusal at the
// end of a function, and a call that a function returns as its error. All mutants are built into
// one test program, with one switch each.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// files are the files of the verifier.
var files = []string{"armor.go", "bundle.go", "chain.go", "claims.go", "json.go", "jsontext.go", "jws.go", "key.go", "keyset.go",
	"lease.go", "license.go", "override.go", "replace.go", "reply.go", "revocation.go", "verifier.go"}

// elsewhere lists functions in these files that verify nothing.
var elsewhere = map[string]bool{
	"Sign": true, "SignAlg": true, "encode": true, "encodeClaims": true, "EncodeBundle": true, "Peek": true, "UnmarshalJSON": true,
	"Matches": true, "covers": true, "overlap": true,
}

func main() {
	folder := "license"
	if len(os.Args) > 1 {
		folder = os.Args[1]
	}
	if err := run(folder); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	temp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	overlay, checks, err := build(folder, temp)
	if err != nil {
		return err
	}
	list := filepath.Join(temp, "checks")
	if err := os.WriteFile(list, []byte(strings.Join(checks, "\n")), 0o600); err != nil {
		return err
	}
	test := exec.Command("go", "test", "-overlay", overlay, "-count=1", "-timeout=3m", "-run", "^TestEveryCheckIsNeeded$", "-v", ".")
	test.Dir = folder
	test.Env = append(os.Environ(), "GOWORK=off", "MUTATE_CHECKS="+list)
	test.Stdout, test.Stderr = os.Stdout, os.Stderr
	if err := test.Run(); err != nil {
		return fmt.Errorf("not every check is needed, or the test did not run: %w", err)
	}
	fmt.Printf("%d checks, each needed\n", len(checks))
	return nil
}

// build writes the verifier with a switch at every check. It returns the overlay for the go command
// and the position of each check.
func build(folder, temp string) (overlay string, checks []string, err error) {
	replace := map[string]string{}
	put := func(name, text string) error {
		to := filepath.Join(temp, name)
		full, err := filepath.Abs(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		replace[full] = to
		return os.WriteFile(to, []byte(text), 0o600)
	}
	m := &mutator{}
	for _, name := range files {
		text, err := m.file(filepath.Join(folder, name))
		if err != nil {
			return "", nil, err
		}
		if err := put(name, text); err != nil {
			return "", nil, err
		}
	}
	if err := put("mutate_switch.go", switches); err != nil {
		return "", nil, err
	}
	if err := put("mutate_test.go", strings.ReplaceAll(driver, "COUNT", strconv.Itoa(len(m.checks)))); err != nil {
		return "", nil, err
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", nil, err
	}
	overlay = filepath.Join(temp, "overlay.json")
	return overlay, m.checks, os.WriteFile(overlay, raw, 0o600)
}

const switches = `package license

var mutant = -1

func checkStands(i int) bool { return i != mutant }

func errorStands(i int, err error) error {
	if i == mutant {
		return nil
	}
	return err
}
`

const driver = `package license

import (
	"os"
	"strings"
	"testing"
)

func TestEveryCheckIsNeeded(t *testing.T) {
	text, err := os.ReadFile(os.Getenv("MUTATE_CHECKS"))
	if err != nil {
		t.Fatal(err)
	}
	checks := strings.Split(string(text), "\n")
	v := readVectors(t)
	all := append(v.refused, v.accepted...)
	notices := func() string {
		for _, one := range all {
			if v.complaint(one) != "" {
				return one.Name
			}
		}
		return ""
	}
	if name := notices(); name != "" {
		t.Fatal("fails as it is: ", name)
	}
	for i := range COUNT {
		mutant = i
		if notices() == "" {
			t.Errorf("not needed: %s", checks[i])
		}
	}
}
`
