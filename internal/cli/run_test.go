//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/seat"
)

// back is shorter than a lease lasts here without a renewal: a seat that is free by then was
// released.
const back = time.Minute

// A bench is a server with the demo's licenses, one of which is in use.
type bench struct {
	t      *testing.T
	server *testServer
	key    string // file
	pool   string
	urls   []string
	token  string
	client *client.Client
	data   string
}

// startBench serves the demo's example; plan selects the license to use.
func startBench(t *testing.T, plan, pool string) *bench {
	t.Helper()
	return startBenchOn(t, "", plan, pool)
}

// startBenchOn is like startBench, on a database or, if it is empty, on its own file.
func startBenchOn(t *testing.T, database, plan, pool string) *bench {
	t.Helper()
	data := t.TempDir()
	s, err := startTestServerOn(database, "127.0.0.1:0", data, demoEnvironments())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, server: s, pool: pool, data: data, key: filepath.Join(data, "keys", plan+".key")}
	t.Cleanup(func() {
		if b.server != nil {
			b.stop()
		}
	})
	if err := setUpExample(t.Context(), data, s.URL()); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	b.token = strings.TrimSpace(string(token))
	b.use(s.URL())
	return b
}

// use makes commands, and the test's client, use the servers at urls.
func (b *bench) use(urls ...string) {
	b.urls = urls
	b.client = client.New(&http.Client{}, client.Settings{Endpoints: client.At(urls...), Token: client.Setting[client.Secret]{Value: client.Secret(b.token)}}, patience)
}

func (b *bench) stop() {
	b.t.Helper()
	if err := b.server.close(); err != nil {
		b.t.Error(err)
	}
	b.server = nil
}

// again restarts the server at its address.
func (b *bench) again() {
	b.t.Helper()
	s, err := startTestServerAt(strings.TrimPrefix(b.urls[0], "http://"), b.data, demoEnvironments())
	if err != nil {
		b.t.Fatal(err)
	}
	b.server = s
}

// held asks the server how many units are held.
func (b *bench) held() int64 {
	b.t.Helper()
	a, err := b.client.Do(context.Background(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/status"})
	if err != nil {
		b.t.Fatal(err)
	}
	var status struct {
		Pools []struct {
			Pool string `json:"pool"`
			Held int64  `json:"held"`
		} `json:"pools"`
	}
	if err := a.Decode(&status); err != nil {
		b.t.Fatal(err)
	}
	for _, p := range status.Pools {
		if p.Pool == b.pool {
			return p.Held
		}
	}
	return 0
}

// within waits until n units are held.
func (b *bench) within(limit time.Duration, n int64) {
	b.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for b.held() != n {
		select {
		case <-deadline:
			b.t.Fatalf("%d units are held after %s, not %d", b.held(), limit, n)
		case <-tick.C:
		}
	}
}

// A running is copyhold run in a separate process. Its command first prints "started" and ends
// when its input ends.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.WriteCloser
	lines *bufio.Scanner
	errs  *bytes.Buffer
}

// untilInputEnds is a command that reports when it has started.
const untilInputEnds = `echo started; cat >/dev/null`

func (b *bench) run(flags []string, command ...string) *running {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	r := &running{t: b.t, cmd: exec.Command(self), errs: &bytes.Buffer{}}
	url := "http://127.0.0.1:1"
	if b.server != nil {
		url = strings.Join(b.urls, ",")
	}
	args := append([]string{"copyhold", "run", "--pool", b.pool, "--url", url, "--key-file", b.key, "--holder", "workload:test"}, flags...)
	r.cmd.Args = append(append(args, "--"), command...)
	r.cmd.Stderr = r.errs
	if r.input, err = r.cmd.StdinPipe(); err != nil {
		b.t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	r.lines = bufio.NewScanner(out)
	if err := r.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// expect reads lines until one is text.
func (r *running) expect(text string) {
	r.t.Helper()
	for r.lines.Scan() {
		if r.lines.Text() == text {
			return
		}
	}
	r.t.Fatalf("%q was not printed: %s", text, r.errs)
}

// status waits for the end.
func (r *running) status() int {
	r.t.Helper()
	for r.lines.Scan() { // read all output before Wait
	}
	err := r.cmd.Wait()
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) {
		return seat.ExitStatus(exited.ProcessState)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return 0
}

func TestRunHoldsASeatAndPassesTheStatusOn(t *testing.T) {
	b := startBench(t, "render", "jobs")
	r := b.run(nil, "sh", "-c", untilInputEnds+"; exit 7")
	r.expect("started")
	if n := b.held(); n != 1 {
		t.Errorf("%d units are held while the command runs", n)
	}
	r.input.Close()
	if got := r.status(); got != 7 {
		t.Errorf("exit status %d, not the command's 7: %s", got, r.errs)
	}
	if n := b.held(); n != 0 {
		t.Errorf("%d units are held after copyhold run has ended", n)
	}
}

// TestARecalledSeatIsGivenBackWhileItsCommandRuns checks that the command gets the chosen signal
// and decides what to do, and that the seat is free after the grace.
func TestARecalledSeatIsGivenBackWhileItsCommandRuns(t *testing.T) {
	b := startBench(t, "render", "jobs")
	r := b.run([]string{"--on-recall", "USR1"}, "sh", "-c", `trap 'echo told' USR1; echo started; while :; do if read -r line; then echo "got $line"; [ "$line" = stop ] && exit 5; fi; sleep 0.1; done`)
	r.expect("started")
	b.recall()
	r.expect("told")
	b.within(patience, 0)
	for _, line := range []string{"hello", "stop"} { // the command continues
		if _, err := io.WriteString(r.input, line+"\n"); err != nil {
			t.Fatal(err)
		}
		r.expect("got " + line)
	}
	if got := r.status(); got != 5 || !strings.Contains(r.errs.String(), "the seat was recalled") {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
}

// TestARecallEndsACommandThatGivesWay checks the default signal, which is TERM.
func TestARecallEndsACommandThatGivesWay(t *testing.T) {
	b := startBench(t, "render", "jobs")
	r := b.run(nil, "sh", "-c", `trap 'exit 9' TERM; echo started; while :; do sleep 0.1; done`)
	r.expect("started")
	b.recall()
	if got := r.status(); got != 9 {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
	b.within(patience, 0)
}

// recall recalls the only lease.
func (b *bench) recall() {
	b.t.Helper()
	a, err := b.client.Do(context.Background(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/leases"})
	if err != nil {
		b.t.Fatal(err)
	}
	var list struct{ Items []struct{ ID string } }
	if err := a.Decode(&list); err != nil || len(list.Items) != 1 {
		b.t.Fatal(list, err)
	}
	_, err = b.client.Do(context.Background(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/leases/" + list.Items[0].ID + "/recall", Body: map[string]any{"reason": "needed"}})
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestASeatIsBackHoweverItsCommandEnds(t *testing.T) {
	b := startBench(t, "render", "jobs")
	t.Run("command killed", func(t *testing.T) {
		r := b.run(nil, "sh", "-c", "echo started; kill -9 $$")
		if got := r.status(); got != 128+9 {
			t.Errorf("exit status %d", got)
		}
		b.within(back, 0)
	})
	t.Run("terminated", func(t *testing.T) {
		r := b.run(nil, "sh", "-c", `trap 'echo asked; exit 9' TERM; echo started; while :; do sleep 0.1; done`)
		r.expect("started")
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		r.expect("asked")
		if got := r.status(); got != 9 {
			t.Errorf("exit status %d", got)
		}
		b.within(back, 0)
	})
	t.Run("interrupted", func(t *testing.T) {
		r := b.run(nil, "sh", "-c", `trap 'exit 8' INT; echo started; while :; do sleep 0.1; done`)
		r.expect("started")
		_ = r.cmd.Process.Signal(syscall.SIGINT)
		if got := r.status(); got != 8 {
			t.Errorf("exit status %d", got)
		}
		b.within(back, 0)
	})
	t.Run("copyhold run killed", func(t *testing.T) {
		r := b.run(nil, "sh", "-c", untilInputEnds)
		r.expect("started")
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Process.Signal(syscall.Signal(0))
		if n := b.held(); n != 1 {
			t.Errorf("%d units are held while the command still runs", n)
		}
		r.input.Close() // the orphan ends
		b.within(back, 0)
		r.status()
	})
	t.Run("keeper killed", func(t *testing.T) {
		r := b.run(nil, "sh", "-c", untilInputEnds)
		r.expect("started")
		if err := syscall.Kill(keeperOf(t, r.cmd.Process.Pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.input.Close()
		r.status()
		b.within(back, 0)
	})
}

// keeperOf finds the child process of a copyhold run that holds its seat.
func keeperOf(t *testing.T, parent int) int {
	t.Helper()
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(parent), "task", "*", "children"))
	if err != nil || len(threads) == 0 {
		t.Fatalf("/proc lists no children of process %d: it has ended, or this system does not list them", parent)
	}
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		for _, child := range strings.Fields(string(text)) {
			line, _ := os.ReadFile(filepath.Join("/proc", child, "cmdline"))
			if bytes.Contains(line, []byte(keeperName)) {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	t.Fatalf("%d has no keeper among its children", parent)
	return 0
}

func TestARunningCommandOutlivesTheServer(t *testing.T) {
	b := startBench(t, "render", "jobs")
	r := b.run(nil, "sh", "-c", untilInputEnds+"; echo finished; exit 5")
	r.expect("started")
	b.stop()
	r.input.Close()
	r.expect("finished")
	if got := r.status(); got != 5 {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
}

// A seat whose command ended while no server was available is released as soon as a server is
// available. By then copyhold run has ended, but its keeper has not.
func TestASeatIsBackOnceTheServerIs(t *testing.T) {
	b := startBench(t, "render", "jobs")
	r := b.run(nil, "sh", "-c", untilInputEnds)
	r.expect("started")
	b.stop()
	r.input.Close()
	if got := r.status(); got != 0 {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
	b.again()
	b.within(back, 0)
}

// The release refers to the renewal whose answer was lost.
func TestASeatWhoseRenewalWasLostIsGivenBack(t *testing.T) {
	b := startBench(t, "fast", "seats")
	renewed := make(chan struct{})
	once := sync.OnceFunc(func() { close(renewed) })
	deaf := lossy(t, b.server.URL(), func(r *http.Request) bool {
		lost := strings.HasSuffix(r.URL.Path, "/renew")
		if lost {
			once()
		}
		return lost
	})
	b.use(deaf)
	r := b.run(nil, "sh", "-c", untilInputEnds)
	r.expect("started")
	<-renewed
	r.input.Close()
	if got := r.status(); got != 0 {
		t.Errorf("exit status %d: %s", got, r.errs)
	}
	b.within(back, 0)
}

func TestUnavailableIsNeverADenial(t *testing.T) {
	b := startBench(t, "studio", "seats")
	first, second := b.run([]string{"--holder", "ann"}, "sh", "-c", untilInputEnds), b.run([]string{"--holder", "bob"}, "sh", "-c", untilInputEnds)
	first.expect("started")
	second.expect("started")
	third := b.run([]string{"--holder", "cy"}, "true")
	if got := third.status(); got != exitDenied || !strings.Contains(third.errs.String(), "pool_full") {
		t.Errorf("the third seat of two: exit status %d: %s", got, third.errs)
	}
	for _, r := range []*running{first, second} {
		r.input.Close()
		r.status()
	}
	b.stop()
	away := b.run(nil, "true")
	if got := away.status(); got != exitUnavailable || strings.Contains(away.errs.String(), "denied") {
		t.Errorf("no server: exit status %d: %s", got, away.errs)
	}
}

func TestAWaiterGetsTheSeatThatIsFreed(t *testing.T) {
	b := startBench(t, "render", "jobs")
	first := b.run([]string{"--holder", "workload:one"}, "sh", "-c", untilInputEnds)
	first.expect("started")
	impatient := b.run([]string{"--holder", "workload:two"}, "true")
	if got := impatient.status(); got != exitUnavailable {
		t.Errorf("without --wait: exit status %d: %s", got, impatient.errs)
	}
	waiter := b.run([]string{"--holder", "workload:three", "--wait", "1m"}, "echo", "my turn")
	first.input.Close()
	first.status()
	waiter.expect("my turn")
	if got := waiter.status(); got != 0 {
		t.Errorf("exit status %d: %s", got, waiter.errs)
	}
	b.within(back, 0)
}

func TestCommandsThatCannotStart(t *testing.T) {
	b := startBench(t, "render", "jobs")
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{"no-such-command": 127, filepath.Join(t.TempDir(), "none"): 127, plain: 126} {
		r := b.run(nil, command)
		if got := r.status(); got != want {
			t.Errorf("%s: exit status %d, not %d: %s", command, got, want, r.errs)
		}
	}
	b.within(back, 0)
}
