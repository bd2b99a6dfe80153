package torture

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestEveryMutantStillApplies keeps the patches that make torture applies in
// step with the code they change: one that no longer applies tests nothing.
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
	}
}
