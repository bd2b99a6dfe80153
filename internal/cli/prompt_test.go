package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNobodyIsAskedWithoutATerminal runs commands that ask questions in the way that services and
// builds do: with /dev/null, which is a character device like a terminal, and with a pipe. Each
// command ends with exit status 2, names a flag that it has, and changes nothing.
func TestNobodyIsAskedWithoutATerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.URL)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"lic_1","customer":"cus_1","plan":"studio","status":"active","start":"2026-01-31T00:00:00Z","end":"2027-01-31T00:00:00Z","seq":[1,1]}`)
	}))
	defer server.Close()
	fd, err := syscall.Open(os.DevNull, os.O_RDONLY, 0)
	must(t, err)
	null := os.NewFile(uintptr(fd), "/dev/stdin") // a process knows its standard input by this name, whatever it is
	defer null.Close()
	file := filepath.Join(t.TempDir(), "new")
	for _, asking := range []struct{ command, flag string }{
		{"license renew lic_1", "--after"},
		{"license revoke lic_1 --reason x", "--yes"},
		{"license rotate-key lic_1 --to " + file, "--yes"},
		{"customer delete cus_1", "--yes"},
		{"product delete lathe", "--yes"},
		{"token revoke tok_1", "--yes"},
		{"audit erase 5 --reason x", "--yes"},
		{"backup --final --to " + file, "--yes"},
		{"signing-key withdraw abc", "--yes"},
		{"signing-key root remove", "--yes"},
	} {
		for name, stdin := range map[string]io.Reader{"/dev/null": null, "a pipe": strings.NewReader("y\n")} {
			run := func(args ...string) (int, string) {
				var out bytes.Buffer
				status := Main(Program{
					Args: append([]string{"copyhold"}, args...), Stdin: stdin, Stdout: &out, Stderr: &out,
					Environ: []string{"COPYHOLD_URL=" + server.URL, "COPYHOLD_TOKEN=cht_x"},
				})
				return status, out.String()
			}
			args := strings.Fields(asking.command)
			if status, text := run(args...); status != exitUsage || !strings.Contains(text, "no terminal; rerun with "+asking.flag) {
				t.Errorf("%s, with %s: exit status %d: %s", asking.command, name, status, text)
			}
			if _, help := run(append(args, "--help")...); !strings.Contains(help, " "+asking.flag+" ") {
				t.Errorf("%s has no flag %s", asking.command, asking.flag)
			}
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
}
