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

// RecallSignal returns the signal of a name, nil for none.
func RecallSignal(name string) (os.Signal, error) {
	signals := map[string]os.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "NONE": nil,
	}
	short := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	s, known := signals[short]
	if !known {
		return nil, fmt.Errorf("%q is not TERM, INT, HUP, QUIT, USR1, USR2 or none", name)
	}
	return s, nil
}

// fromKeyboard reports signals that a terminal sends to the whole foreground
// group, and that the command therefore gets by itself.
func fromKeyboard(s os.Signal) bool { return s == syscall.SIGINT || s == syscall.SIGQUIT }

// detach gives the keeper a session of its own, so that neither the terminal nor
// a kill of the process group reaches it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Outlive makes this process, a keeper, deaf to what ends its parent.
func Outlive() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
}

// alive reports whether a process still runs. A zombie, which only waits for
// somebody to ask for its status, does not.
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
