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

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/license"
)

// startExample builds a program from examples/ and starts it with the shop's license. At the
// end of the test, the program is interrupted and must end.
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
	cmd := exec.Command(program, append([]string{"-key", key, "-root", root, "-cache", filepath.Join(dir, "cache")}, args...)...)
	cmd.Env = append(cmd.Environ(), "COPYHOLD_URL=http://"+s.address)
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
	t.Fatalf("no line matches %q:\n%s", pattern, strings.Join(read, "\n"))
	return nil
}

// The command-line program continues while the server is stopped, reports each state as it
// moves down the ladder, and recovers everything once the server is back.
func TestTheReportWalksTheLadderAndRecovers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	out, states := s.startExample(t, "report", "-watch", "2m", "-user", "ann")
	expectLine(t, out, "^parts,120$")
	s.hurry(t)
	s.down()
	for at := license.StateNone; at != license.StateDenied; {
		was := at
		at = license.State(expectLine(t, states, `license (\w+):`)[1])
		if at != license.StateValid && !worse(at, was) {
			t.Errorf("%s after %s", at, was)
		}
	}
	expectLine(t, out, "export false$")
	s.up()
	expectLine(t, states, "license valid")
	expectLine(t, out, "export true$")
}

// The service answers in every state. The licensed part stops when full function ends, but its
// health check never does.
func TestTheGatewayWalksTheLadderAndRecovers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, log := s.startExample(t, "gateway", "-listen", "127.0.0.1:0")
	url := "http://" + expectLine(t, log, `the gateway is running" address=(\S+)`)[1]
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
	state := func() license.State {
		_, why := get("/license")
		for _, one := range rungs {
			if strings.Contains(why, " "+string(one)+":") {
				return one
			}
		}
		return license.StateNone
	}
	reach := func(want license.State) {
		t.Helper()
		eventually(t, patience, func() bool {
			before := state()
			status, body := get("/convert?text=a")
			if before == license.StateNone || before != state() {
				return false // it is unknown which state the answer came from
			}
			convert := http.StatusOK
			if !before.Full() {
				convert = http.StatusForbidden
			}
			if status != convert || status == http.StatusForbidden && !isProblem(body) {
				t.Errorf("%s: convert answers %d %s, not %d", before, status, body, convert)
			}
			if status, _ := get("/healthz"); status != http.StatusOK {
				t.Errorf("%s: health answers %d", before, status)
			}
			return before == want
		})
	}
	reach(license.StateValid)
	s.hurry(t)
	s.down()
	reach(license.StateDenied)
	s.up()
	reach(license.StateValid)
}

// isProblem reports whether a body is RFC 9457 with a code and a reason.
func isProblem(body string) bool {
	var p client.Problem
	return json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&p) == nil && p.Code != "" && p.Detail != ""
}
