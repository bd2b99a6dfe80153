//go:build unix

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"copyhold.dev/internal/config"
)

// secretsAt names the file descriptor from which a process reads the secrets that were
// removed from its environment.
const secretsAt = "COPYHOLD_SECRETS_FD"

// hideSecrets removes the server's secrets from the environment that other programs can read
// while this process runs (/proc/PID/environ, ps e). It executes the program again, as the
// same process but without the secrets, and passes them through a pipe. It does this only in
// the first run, and only if there are secrets; then it returns only in the second run.
func hideSecrets(p Program) ([]string, error) {
	if at, again := lookup(p.Environ, secretsAt); again {
		return takeSecrets(at)
	}
	shown, secrets := partEnvironment(p.Environ)
	if len(secrets) == 0 {
		return p.Environ, nil
	}
	err := executeAgain(p.Args, shown, strings.Join(secrets, "\x00"))
	fmt.Fprintf(p.Stderr, "copyhold: warning: secrets remain in the environment; keep them in files instead: %v\n", err)
	return p.Environ, nil
}

// partEnvironment separates the secrets from the rest of an environment. PGPASSWORD is the
// password for a database whose URL contains none.
func partEnvironment(environ []string) (shown, secrets []string) {
	names := []string{"PGPASSWORD"}
	for _, s := range config.Settings() {
		if s.Secret() {
			names = append(names, s.Env())
		}
	}
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); value != "" && slices.Contains(names, name) {
			secrets = append(secrets, entry)
		} else {
			shown = append(shown, entry)
		}
	}
	return shown, secrets
}

// executeAgain replaces this process with a new run of the same program. It returns only if
// that fails.
func executeAgain(args, environ []string, secrets string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var pipe [2]int // it stays open across the execution; no other process is started before that
	if err := syscall.Pipe(pipe[:]); err != nil {
		return err
	}
	defer syscall.Close(pipe[0])
	n, err := 0, syscall.SetNonblock(pipe[1], true) // nothing reads the pipe yet, so a write that does not fit must fail, not block
	if err == nil {
		n, err = syscall.Write(pipe[1], []byte(secrets))
	}
	if err == nil && n < len(secrets) {
		err = errors.New("they are too long for a pipe")
	}
	if err = errors.Join(err, syscall.Close(pipe[1])); err != nil {
		return err
	}
	return syscall.Exec(program, args, append(environ, secretsAt+"="+strconv.Itoa(pipe[0])))
}

// takeSecrets reads the secrets that the first run passed on, and returns the environment
// with them. It exists only in this process's memory.
func takeSecrets(at string) ([]string, error) {
	fd, err := strconv.ParseUint(at, 10, 31)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is reserved for copyhold: unset it", secretsAt)
	}
	pipe := os.NewFile(uintptr(fd), secretsAt)
	text, err := io.ReadAll(pipe)
	if err = errors.Join(err, pipe.Close()); err != nil {
		return nil, fmt.Errorf("reading the secrets from the environment: %w", err)
	}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		err = errors.Join(err, os.Setenv(name, value)) // needed for PGPASSWORD, which the driver reads
	}
	err = errors.Join(err, os.Unsetenv(secretsAt))
	return os.Environ(), err
}
