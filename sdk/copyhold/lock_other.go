//go:build !windows && (!unix || solaris || illumos || aix)

package copyhold

import (
	"errors"
	"os"
)

// lockFile fails: on this system the standard library has no file lock that ends with the process,
// so each process keeps its state in memory.
func lockFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }
