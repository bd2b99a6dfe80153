package cli

import (
	"bytes"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns a terminal, and the file that acts as its keyboard.
func openTerminal(t *testing.T) (terminal, keyboard *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = keyboard.Close() })
	number, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal, keyboard
}

func TestAQuestionIsAnsweredAtATerminal(t *testing.T) {
	const endOfInput = "\x04"
	for typed, want := range map[string]string{
		"y\n": "", "Yes\n": "", "n\n": "canceled; nothing was changed", "\n": "canceled; nothing was changed", "yep\n": "canceled; nothing was changed",
		endOfInput: "no answer was read (EOF); rerun with --yes to confirm",
	} {
		terminal, keyboard := openTerminal(t)
		if !isTerminal(terminal) {
			t.Fatal("a terminal was not recognized")
		}
		_, err := keyboard.WriteString(typed)
		must(t, err)
		var asked bytes.Buffer
		c := &cli{program: Program{Stdin: terminal, Stderr: &asked}}
		got := ""
		if err := c.confirm(false, "Do it?"); err != nil {
			got = err.Error()
		}
		if asked.String() != "Do it? [y/N] " || got != want {
			t.Errorf("typed %q at %q: %q, want %q", typed, asked.String(), got, want)
		}
	}
}
