//go:build unix

package seat

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// forwarded are the signals that copyhold run passes on to its command.
func forwarded() []os.Signal {
	return []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}
}

// DefaultRecallSignal asks a command to end.
const DefaultRecallSignal = "TERM"

// RecallSignal returns the signal with this name, or nil for none.
func RecallSignal(name string) (os.Signal, error) {
	signals := map[string]os.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "NONE": nil,
	}
	short := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	s, known := signals[short]
	if !known {
		return nil, fmt.Errorf("unknown signal %q: use TERM, INT, HUP, QUIT, USR1, USR2 or none", name)
	}
	return s, nil
}

// fromKeyboard reports whether a terminal sends this signal to the whole foreground group, so
// that the command gets it directly.
func fromKeyboard(s os.Signal) bool { return s == syscall.SIGINT || s == syscall.SIGQUIT }

// detach starts the keeper in its own session, so that signals from the terminal or to the
// process group do not reach it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Outlive makes this process, a keeper, ignore the signals that end its parent.
func Outlive() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
}

// alive reports whether a process is still running. A zombie, which only waits for its parent
// to read its status, does not count.
func alive(p *os.Process) bool {
	if p.Signal(syscall.Signal(0)) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/stat")
	if err != nil {
		return true // no /proc on this system
	}
	_, state, found := bytes.Cut(stat, []byte(") "))
	return !found || (state[0] != 'Z' && state[0] != 'X')
}

// ExitStatus returns the exit status that a shell would report.
func ExitStatus(state *os.ProcessState) int {
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return state.ExitCode()
}
