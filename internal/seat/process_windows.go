package seat

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// forwarded returns only os.Interrupt: a console sends its events to all of its processes.
func forwarded() []os.Signal { return []os.Signal{os.Interrupt} }

// DefaultRecallSignal is none: Windows has no signals between processes.
const DefaultRecallSignal = "none"

// RecallSignal returns the signal with this name, or nil for none.
func RecallSignal(name string) (os.Signal, error) {
	if name != DefaultRecallSignal {
		return nil, errors.New("Windows has no signals between processes; use none")
	}
	return nil, nil
}

func fromKeyboard(os.Signal) bool { return true }

// detach keeps console events away from the keeper.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// Outlive makes this process, a keeper, ignore the signals that end its parent.
func Outlive() { signal.Ignore(os.Interrupt) }

// alive opens the process again; this fails once the process has ended.
func alive(p *os.Process) bool {
	h, err := syscall.OpenProcess(syscall.SYNCHRONIZE, false, uint32(p.Pid))
	if err != nil {
		return false
	}
	defer syscall.CloseHandle(h)
	event, err := syscall.WaitForSingleObject(h, 0)
	return err == nil && event == syscall.WAIT_TIMEOUT
}

// ExitStatus returns the exit status that a shell would report.
func ExitStatus(state *os.ProcessState) int { return state.ExitCode() }
