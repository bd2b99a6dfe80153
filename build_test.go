package copyhold_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// Programs that make builds contain no path of the build machine, not even in their panics.
func TestTheProgramNamesNoFolderOfItsBuilder(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "copyhold")
	var builds []string
	for _, target := range []string{"run", "build", "profile"} {
		lines, err := exec.Command("make", "--dry-run", target, "BIN="+program).Output()
		if err != nil {
			t.Fatalf("make %s: %v", target, err)
		}
		found := false
		for line := range strings.Lines(string(lines)) {
			if strings.Contains(line, "./cmd/copyhold") {
				found = true
				builds = append(builds, line)
			}
		}
		if !found {
			t.Errorf("make %s builds nothing", target)
		}
	}
	for _, line := range builds {
		if !strings.Contains(line, " -trimpath ") {
			t.Errorf("built without -trimpath, so the program contains local paths: %s", line)
		}
	}
	build := exec.Command("sh", "-c", builds[0]) // the others only add a profile, which takes minutes
	build.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", builds[0], err, out)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folders, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(strings.Fields(string(folders)), here) {
		if bytes.Contains(text, []byte(folder)) {
			t.Errorf("the program contains the path %s", folder)
		}
	}
}

// go install refuses a module whose go.mod has replace or exclude lines, or that requires a
// version that no tag can have.
func TestGoInstallTakesTheModule(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 || len(mod.Exclude) > 0 {
		t.Error("go.mod has replace or exclude lines: go install copyhold.dev/cmd/copyhold@VERSION would fail; use go.work")
	}
	for _, r := range mod.Require {
		if strings.HasPrefix(r.Mod.Path, "copyhold.dev/") && (module.IsPseudoVersion(r.Mod.Version) || r.Mod.Version == "v0.0.0") {
			t.Errorf("go.mod requires %s, which is not a tagged version", r.Mod)
		}
	}
}

// The go command copies a file named LICENSE from the repository's root into a module in a
// folder. The SDK has a folder named license. File systems that ignore case could not unpack
// both, so the go command would refuse the module.
func TestTheSDKCanBePacked(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("LICENSE"); err == nil {
		t.Error("the file LICENSE collides with sdk/license in the SDK's module; rename it to LICENSE.txt")
	}
	var packed bytes.Buffer
	if err := zip.CreateFromDir(&packed, module.Version{Path: "copyhold.dev/sdk", Version: "v0.1.0"}, "sdk"); err != nil {
		t.Error(err)
	}
}

// Every module that customers download needs its own copy of the license, because the go
// command copies only a file named LICENSE.
func TestEachModuleHasItsLicense(t *testing.T) {
	t.Parallel()
	nested, err := filepath.Glob("sdk/*/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("LICENSE.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, mod := range append(nested, "sdk/go.mod") {
		name := filepath.Join(filepath.Dir(mod), "LICENSE.txt")
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is missing or differs; run cp LICENSE.txt %s", name, name)
		}
	}
}
