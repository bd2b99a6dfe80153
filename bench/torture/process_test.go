package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the program under torture, built once for all tests.
var binary string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "copyhold-torture-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "copyhold")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "copyhold.dev/cmd/copyhold")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building copyhold: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience is how long a test waits for an expected event. It is long because the machine may
// be busy.
const patience = 5 * time.Minute

// long reports whether this is make torture rather than make test.
func long() bool { return os.Getenv("COPYHOLD_TORTURE") != "" }

// rounds returns how often a fault is repeated.
func rounds(short, full int) int {
	if long() {
		return full
	}
	return short
}

// A server is one installation. Its data outlives its processes.
type server struct {
	t      *testing.T
	data   string
	record string // file with everything that its processes signed
	addr   string
	env    []string
	token  string

	cmd *exec.Cmd
	log *bytes.Buffer
}

// install prepares an installation in the folder data, with its own address. Its record of
// signatures is in another folder, so that a fault of the data folder's disk does not affect it.
func install(t *testing.T, data string, env ...string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &server{t: t, data: data, record: filepath.Join(t.TempDir(), "record"), addr: l.Addr().String(), env: env}
}

// start starts a process and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.log = &bytes.Buffer{}
	s.cmd = exec.Command(binary, "serve")
	s.cmd.Env = append(os.Environ(), "COPYHOLD_DATA="+s.data, "COPYHOLD_LISTEN="+s.addr, "COPYHOLD_RECORD="+s.record)
	s.cmd.Env = append(s.cmd.Env, s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.awaitReady()
	if s.token == "" {
		token, err := os.ReadFile(filepath.Join(s.data, "owner.token"))
		if err != nil {
			s.t.Fatalf("the first start left no token: %v", err)
		}
		s.token = strings.TrimSpace(string(token))
	}
}

func (s *server) awaitReady() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/readyz", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			s.kill()
			s.t.Fatalf("the server did not become ready:\n%s", s.log)
		case <-tick.C:
		}
	}
}

// kill ends the process with SIGKILL, so that no handler runs and nothing is flushed.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// ended reports whether the process exited by itself.
func (s *server) ended() bool {
	var state syscall.WaitStatus
	var usage syscall.Rusage
	pid, err := syscall.Wait4(s.cmd.Process.Pid, &state, syscall.WNOHANG, &usage)
	return err != nil || pid == s.cmd.Process.Pid
}

// An answer is the status and the body of a response.
type answer struct {
	status int
	body   []byte
}

func (a answer) decode(v any) error { return json.Unmarshal(a.body, v) }

// do sends one request with a credential: "License KEY" or "Bearer TOKEN". It returns an error
// if the outcome is unknown: no complete response, or a status of 500 or more.
func (s *server) do(ctx context.Context, client *http.Client, method, path, credential string, in any) (answer, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", credential)
	req.Header.Set("Copyhold-Environment", "production") // for the token; a license key belongs to one
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	if res.StatusCode >= http.StatusInternalServerError {
		return answer{}, fmt.Errorf("%s: %s", res.Status, data)
	}
	return answer{res.StatusCode, data}, nil
}

// admin sends a request with the owner's token and fails the test unless it succeeds.
func (s *server) admin(method, path string, in, out any) {
	s.t.Helper()
	a, err := s.do(s.t.Context(), http.DefaultClient, method, path, "Bearer "+s.token, in)
	if err == nil && a.status >= http.StatusBadRequest {
		err = fmt.Errorf("status %d: %s", a.status, a.body)
	}
	if err == nil && out != nil {
		err = a.decode(out)
	}
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", method, path, err, s.log)
	}
}

// license creates a product, a plan, a customer, and a license. It returns the license's id and
// the credential for its key.
func (s *server) license(plan string) (id, credential string) {
	s.t.Helper()
	s.admin(http.MethodPost, "/v1/products", map[string]any{
		"name": "lathe", "owner": map[string]string{"team": "tools", "pager": "tools@lathe.example", "runbook": "https://lathe.example/runbook"},
	}, nil)
	s.admin(http.MethodPost, "/v1/plans", map[string]any{"files": []map[string]string{{"name": "plan.yaml", "text": plan}}, "licenses": "new"}, nil)
	var customer map[string]any
	var issued struct {
		License struct{ ID string }
		Key     struct{ Key string }
	}
	s.admin(http.MethodPost, "/v1/customers", map[string]any{"name": "Torture Ltd"}, &customer)
	s.admin(http.MethodPost, "/v1/licenses", map[string]any{"customer": customer["id"], "product": "lathe", "plan": "torture"}, &issued)
	if issued.Key.Key == "" || issued.License.ID == "" {
		s.t.Fatalf("the issued license lacks an id or a key: %v", issued)
	}
	return issued.License.ID, "License " + issued.Key.Key
}

// command runs a command of the program against the server and returns its output.
func (s *server) command(args ...string) (string, error) {
	cmd := exec.CommandContext(s.t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "COPYHOLD_URL=http://"+s.addr, "COPYHOLD_TOKEN="+s.token, "COPYHOLD_ENVIRONMENT=production")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// verifyLog fails the test unless the whole log verifies.
func (s *server) verifyLog() {
	s.t.Helper()
	if out, err := s.command("audit", "verify"); err != nil {
		s.t.Fatalf("audit verify: %v\n%s", err, out)
	}
}

// settled retries f until it succeeds or ctx ends.
func settled(ctx context.Context, f func() error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}
