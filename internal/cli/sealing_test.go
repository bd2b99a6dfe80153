//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"copyhold.dev/internal/authority"
)

// The unchanged file sealing.key that a server wrote opens that server's database and backups in
// every way that a command accepts a sealing key.
func TestTheServersOwnSealingKeyWorksWhereverOneCanBeNamed(t *testing.T) {
	t.Parallel()
	data, folder := t.TempDir(), t.TempDir()
	backup := filepath.Join(folder, "a.backup")
	s, err := startTestServer(data, authority.FirstEnvironments())
	must(t, err)
	status, out := command(nil, "backup", "--to", backup, "--url", s.URL(), "--token-file", filepath.Join(data, ownerTokenFile))
	must(t, s.close())
	if status != exitDone {
		t.Fatal(out)
	}
	file := filepath.Join(folder, "copyhold-sealing-key") // as systemd's LoadCredential= copies it
	must(t, os.Rename(filepath.Join(data, sealingKeyFile), file))
	text, err := os.ReadFile(file)
	must(t, err)
	_, key, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	settings := func(yaml string) string {
		name := filepath.Join(t.TempDir(), "copyhold.yaml")
		must(t, os.WriteFile(name, []byte(yaml), 0o600))
		return name
	}
	named := settings("sealing:\n  key_file: " + file + "\n")
	written := settings("sealing:\n  key: |\n    " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ") + "\n")
	quoted := settings("sealing: {key: " + strconv.Quote(string(text)) + "}\n")
	for name, way := range map[string]struct{ environ, flags []string }{
		"flag":                  {nil, []string{"--sealing-key-file", file}},
		"file variable":         {[]string{"COPYHOLD_SEALING_KEY_FILE=" + file}, nil},
		"variable":              {[]string{"COPYHOLD_SEALING_KEY=" + string(text)}, nil},
		"variable on one line":  {[]string{"COPYHOLD_SEALING_KEY=" + strings.ReplaceAll(string(text), "\n", " ")}, nil},
		"credential":            {[]string{"CREDENTIALS_DIRECTORY=" + folder}, nil},
		"settings name a file":  {nil, []string{"--config", named}},
		"settings hold a block": {nil, []string{"--config", written}},
		"settings hold a text":  {[]string{"COPYHOLD_CONFIG=" + quoted}, nil},
	} {
		p := serveAlone(t, way.environ, append([]string{"--data", data}, way.flags...))
		if p.stop(); !p.serves {
			t.Errorf("%s: serve:\n%s", name, p.log)
		}
		for _, args := range [][]string{
			{"config"},
			{"restore", backup, "--check", "--data", t.TempDir()},
			{"restore", backup, "--data", t.TempDir()},
			{"restore", backup, "--data", t.TempDir(), "--identity", file},
			{"clock", "show", "--data", data},
			{"clock", "set-back", "--data", data, "--reason", "to try it", "--yes"},
		} {
			status, out := command(way.environ, append(args, way.flags...)...)
			if status != exitDone && !strings.Contains(out, "nothing to set back") || strings.Contains(out, key) {
				t.Errorf("%s: %q: exit status %d: %s", name, args, status, out)
			}
		}
		if _, out := command(way.environ, append([]string{"doctor", "--data", data, "--url", "http://127.0.0.1:1", "-o", "json"}, way.flags...)...); !strings.Contains(out, "present and readable") {
			t.Errorf("%s: doctor: %s", name, out)
		}
	}
	if _, err := os.Stat(filepath.Join(data, sealingKeyFile)); err == nil {
		t.Error("a server created another sealing key")
	}
}
