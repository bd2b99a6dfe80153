//go:build unix && !solaris && !illumos && !aix

package copyhold

import (
	"os"
	"syscall"
)

// lockFile opens path and locks it for this process. The lock ends with the process, however it
// ends. lockFile fails at once if another process has the lock.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if err == syscall.EWOULDBLOCK {
			return nil, errLocked
		}
		return nil, err
	}
	return f, nil
}
