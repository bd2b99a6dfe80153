package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
)

// hostileText would clear the screen, ring the bell, set the title, start a new line and display
// text backward.
const hostileText = `\u001b[2J\u001b]0;gotcha\u0007\u009b31mann\r\nadmin\u202etxt`

func TestNothingThatIsPrintedDrivesATerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/leases" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"items":[{"id":"lse_1","pool":"seats","holder":{"kind":"user","id":"` + hostileText + `"},"units":1}]}`))
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"code":"conflict","detail":"` + hostileText + `"}`))
	}))
	defer server.Close()
	for _, args := range [][]string{{"lease", "list"}, {"status"}} {
		var out bytes.Buffer
		Main(Program{
			Args: append([]string{"copyhold"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out,
			Environ: []string{"COPYHOLD_URL=" + server.URL, "COPYHOLD_TOKEN=cht_x"},
		})
		text := out.String()
		if !strings.Contains(text, "gotcha") || !strings.Contains(text, `\x1b[2J`) || !strings.Contains(text, `\u202e`) {
			t.Errorf("copyhold %s does not show the answer: %q", strings.Join(args, " "), text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' || r == '\u202e' }) {
			t.Errorf("copyhold %s prints terminal control characters: %q", strings.Join(args, " "), text)
		}
		if args[0] == "lease" && strings.Count(text, "\n") != 2 {
			t.Errorf("a name adds lines to the output: %q", text)
		}
	}
}

func TestColoursOfOurOwnPass(t *testing.T) {
	if text := "\x1b[2mSTATE\x1b[0m  \x1b[32mvalid\x1b[0m\n"; legible(text) != text {
		t.Errorf("legible(%q) = %q", text, legible(text))
	}
	if got, want := legible("\x1b[32mvalid\x1b[0m \x1b[5m"), "\x1b[32mvalid\x1b[0m "+`\x1b[5m`; got != want {
		t.Errorf("legible = %q, want %q", got, want)
	}
}

func TestTablesAlignWithWideLetters(t *testing.T) {
	for text, columns := range map[string]int{"ann": 3, "日本語": 6, "ｆｕｌｌ": 8, "e\u0301": 1, "Müller": 6, "한국": 4} {
		if width(text) != columns {
			t.Errorf("width(%q) = %d, want %d", text, width(text), columns)
		}
	}
}
