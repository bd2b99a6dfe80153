//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// rungs are the states of everyModel's document after the last refresh, and how
// long the one before lasts.
var rungs = []struct {
	state license.State
	after time.Duration
}{
	{license.StateGrace, time.Second}, {license.StateDegraded, 2 * time.Second}, {license.StateDenied, 2 * time.Second},
}

// startExample builds a program of examples/ and starts it with the shop's
// license; it is interrupted at the end of the test and has to end then.
func (s *shop) startExample(t *testing.T, name string, args ...string) (out, errs *bufio.Scanner) {
	t.Helper()
	dir := t.TempDir()
	program, key, root := filepath.Join(dir, name), filepath.Join(dir, "key"), filepath.Join(dir, "root.json")
	build := exec.Command("go", "build", "-o", program, "./"+name)
	build.Dir = examples()
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v: %s", name, err, text)
	}
	must(t, os.WriteFile(key, []byte(s.key), 0o600))
	must(t, os.WriteFile(root, s.root, 0o600))
	cmd := exec.Command(program, append([]string{"-url", "http://" + s.address, "-key", key, "-root", root, "-cache", filepath.Join(dir, "cache")}, args...)...)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_, _ = io.Copy(io.Discard, stdout)
		_, _ = io.Copy(io.Discard, stderr)
		_ = cmd.Wait()
	})
	return bufio.NewScanner(stdout), bufio.NewScanner(stderr)
}

// expectLine reads lines until one matches.
func expectLine(t *testing.T, lines *bufio.Scanner, pattern string) []string {
	t.Helper()
	var read []string
	for want := regexp.MustCompile(pattern); lines.Scan(); read = append(read, lines.Text()) {
		if found := want.FindStringSubmatch(lines.Text()); found != nil {
			return found
		}
	}
	t.Fatalf("no line is like %q:\n%s", pattern, strings.Join(read, "\n"))
	return nil
}

// The command-line program goes on while the server is stopped, says each rung
// when its document says, and has everything back when the server is.
func TestTheReportWalksTheLadderAndRecovers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	out, states := s.startExample(t, "report", "-watch", "2m", "-user", "ann")
	expectLine(t, out, "^parts,120$")
	s.down()
	expectLine(t, states, "license stale")
	was := time.Now()
	for _, rung := range rungs {
		expectLine(t, states, "license "+string(rung.state))
		if took := time.Since(was); took < rung.after-1500*time.Millisecond || took > rung.after+1500*time.Millisecond {
			t.Errorf("%s came after %v, the document says %v", rung.state, took, rung.after)
		}
		was = time.Now()
	}
	expectLine(t, out, "export false$")
	s.up(t)
	expectLine(t, states, "license valid")
	expectLine(t, out, "export true$")
}

// The service answers through every rung: what is sold ends with full function,
// its health never does.
func TestTheGatewayWalksTheLadderAndRecovers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, log := s.startExample(t, "gateway", "-listen", "127.0.0.1:0")
	url := "http://" + expectLine(t, log, `the gateway answers" address=(\S+)`)[1]
	go func() { // so that it never blocks on its log
		for log.Scan() {
		}
	}()
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		must(t, err)
		return res.StatusCode, string(text)
	}
	reach := func(state license.State, convert int) {
		t.Helper()
		eventually(t, 15*time.Second, func() bool {
			_, why := get("/license")
			return strings.Contains(why, " "+string(state)+":")
		})
		status, body := get("/convert?text=a")
		if status != convert || status == http.StatusForbidden && !isProblem(body) {
			t.Errorf("%s: convert answers %d %s, not %d", state, status, body, convert)
		}
		if status, _ := get("/healthz"); status != http.StatusOK {
			t.Errorf("%s: health answers %d", state, status)
		}
	}
	reach(license.StateValid, http.StatusOK)
	s.down()
	reach(license.StateStale, http.StatusOK)
	reach(license.StateGrace, http.StatusOK)
	reach(license.StateDegraded, http.StatusForbidden)
	reach(license.StateDenied, http.StatusForbidden)
	s.up(t)
	reach(license.StateValid, http.StatusOK)
}

// isProblem reports whether a body is RFC 9457 with a code and a reason.
func isProblem(body string) bool {
	var p problem
	return json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&p) == nil && p.Code != "" && p.Detail != ""
}
