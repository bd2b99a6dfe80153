package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// program builds the program once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "copyhold")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "copyhold")
	build := exec.Command("go", "build", "-trimpath", "-o", name, "./cmd/copyhold")
	build.Dir = ".."
	build.Env = append(os.Environ(), "GOWORK=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", &failure{string(out), err}
	}
	return name, nil
})

type failure struct {
	output string
	err    error
}

func (f *failure) Error() string { return f.err.Error() + ": " + f.output }

func TestMain(m *testing.M) {
	status := m.Run()
	if name, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(name))
	}
	os.Exit(status)
}

// secrets creates the secret files that a deployment provides, and returns their folder.
func secrets(t *testing.T) string {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	key, err := exec.Command(name, "sealing-key", "new").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, text := range map[string]string{"sealing-key": string(key), "database-password": "secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// understood has the program read a settings file, and checks the settings that it prints.
func understood(t *testing.T, settings string, want []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "copyhold.yaml")
	text := strings.ReplaceAll(settings, "/run/secrets/copyhold", secrets(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	printed(t, nil, want, "--config", file)
}

// printed runs `copyhold config` and checks the lines that it prints.
func printed(t *testing.T, environ, want []string, args ...string) {
	t.Helper()
	name, err := program()
	if err != nil {
		t.Fatal(err)
	}
	run := exec.Command(name, append([]string{"config"}, args...)...)
	run.Env = environ
	out, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range want {
		if !strings.Contains(string(out), line) {
			t.Errorf("copyhold config does not print %q:\n%s", line, out)
		}
	}
}
