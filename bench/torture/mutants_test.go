package torture

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryMutantStillApplies checks that the mutants of make torture match the code. A patch
// that no longer applies tests nothing, and a patch whose lines occur twice may change the
// wrong place.
func TestEveryMutantStillApplies(t *testing.T) {
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) < 20 {
		t.Fatalf("%d mutants, %v", len(patches), err)
	}
	for _, p := range patches {
		cmd := exec.Command("git", "apply", "--check", "--unidiff-zero", filepath.Join("bench/torture", p))
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", p, err, out)
		}
		patch, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range hunks(string(patch)) {
			text, err := os.ReadFile(filepath.Join("../..", h.file))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), h.old); h.old == "" || n != 1 {
				t.Errorf("%s: the lines that it changes occur %d times in %s:\n%s", p, n, h.file, h.old)
			}
		}
	}
}

// A hunk is the text that a patch replaces in a file, as complete lines.
type hunk struct{ file, old string }

func hunks(patch string) (all []hunk) {
	file := ""
	for line := range strings.Lines(patch) {
		switch {
		case strings.HasPrefix(line, "--- a/"):
			file = strings.TrimSpace(strings.TrimPrefix(line, "--- a/"))
		case strings.HasPrefix(line, "@@"):
			all = append(all, hunk{file: file})
		case len(all) > 0 && (line[0] == '-' || line[0] == ' '):
			all[len(all)-1].old += line[1:]
		}
	}
	return all
}
