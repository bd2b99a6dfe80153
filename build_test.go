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

// What make builds names no folder of the machine that built it, in the program or in its
// panics.
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
			t.Errorf("built with the builder's paths: %s", line)
		}
	}
	build := exec.Command("sh", "-c", builds[0]) // the others differ by a profile, which takes minutes
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
			t.Errorf("the program names %s", folder)
		}
	}
}

// go install refuses a module whose go.mod has replace or exclude lines, and a requirement
// of a module that no tag can name.
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
			t.Errorf("go.mod requires %s, which is no tagged version", r.Mod)
		}
	}
}

// The go command adds a file LICENSE of the repository to a module in a folder. The SDK has a
// folder license, and file systems that do not tell the two names apart could not unpack it:
// the module would be refused.
func TestTheSDKCanBePacked(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("LICENSE"); err == nil {
		t.Error("there is a file LICENSE, which collides with sdk/license in the SDK's module: call it LICENSE.txt")
	}
	var packed bytes.Buffer
	if err := zip.CreateFromDir(&packed, module.Version{Path: "copyhold.dev/sdk", Version: "v0.1.0"}, "sdk"); err != nil {
		t.Error(err)
	}
}

// A module that customers fetch brings its license with it: the go command adds only a file
// that is called LICENSE.
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
			t.Errorf("%s is not there or differs: cp LICENSE.txt %s", name, name)
		}
	}
}
