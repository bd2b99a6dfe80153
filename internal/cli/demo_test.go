//go:build unix

package cli

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A demoProcess is copyhold demo in a separate process, with everything it printed until it
// was ready.
type demoProcess struct {
	cmd     *exec.Cmd
	lines   *bufio.Scanner
	printed []string
}

// startDemo starts the demo in a folder with a link to the program under its usual name.
func startDemo(t *testing.T, folder string) *demoProcess {
	t.Helper()
	d := &demoProcess{cmd: exec.Command("./copyhold", "demo", "--listen", "127.0.0.1:0")}
	d.cmd.Dir, d.cmd.Stderr = folder, os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.lines = bufio.NewScanner(out)
	for d.lines.Scan() {
		d.printed = append(d.printed, d.lines.Text())
		if strings.Contains(d.lines.Text(), " run ") {
			return d
		}
	}
	t.Fatalf("the demo ended: %v\n%s", d.cmd.Wait(), strings.Join(d.printed, "\n"))
	return nil
}

// stop interrupts the demo, as Ctrl-C does.
func (d *demoProcess) stop(t *testing.T) {
	t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGINT)
	last := ""
	for d.lines.Scan() {
		last = d.lines.Text()
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("the demo did not stop cleanly: %v", err)
	}
	if last != "stopped; the data is kept in .copyhold" {
		t.Errorf("the last line is %q", last)
	}
}

// toTry runs the commands that the demo suggests and returns their exit statuses.
func (d *demoProcess) toTry(t *testing.T, folder string) []int {
	t.Helper()
	var statuses []int
	export := ""
	for _, line := range d.printed {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "export ") {
			export = line + "; "
		}
		if first, _, _ := strings.Cut(line, " "); filepath.Base(first) != "copyhold" {
			continue
		}
		sh := exec.Command("sh", "-c", export+line)
		sh.Dir, sh.Env = folder, append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
		out, err := sh.CombinedOutput()
		t.Logf("$ %s\n%s", line, out)
		status := 0
		if exited := (*exec.ExitError)(nil); errors.As(err, &exited) {
			status = exited.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func TestDemoDeniesTheThirdSeatOfTwoAndKeepsItsData(t *testing.T) {
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(folder, "copyhold")); err != nil {
		t.Fatal(err)
	}
	first := startDemo(t, folder)
	got := first.toTry(t, folder)
	if want := []int{0, 0, exitDenied, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("the commands to try ended with %v, not %v", got, want)
	}
	first.stop(t)
	again := startDemo(t, folder)
	if was, is := keysIn(first.printed), keysIn(again.printed); was != is || strings.Count(is, " CH-") != len(sales()) {
		t.Errorf("after a restart, it prints other keys:\n%s\nnot\n%s", is, was)
	}
	again.stop(t)
}

func keysIn(lines []string) string {
	var keys []string
	for _, line := range lines {
		if strings.Contains(line, "CH-") {
			keys = append(keys, line)
		}
	}
	return strings.Join(keys, "\n")
}
