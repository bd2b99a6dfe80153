package cli

import (
	"io"
	"os"

	"copyhold.dev/sdk/license"
)

// Bounds of files that commands read whole, in bytes.
const (
	maxSmallFile = 1 << 20 // secrets, root sets, ceremonies
)

// readFile reads a file of at most limit bytes: one that was named by mistake, or has no
// end, must not take the machine's memory.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, exitf(exitUsage, "%s is longer than %d bytes: it is another kind of file", name, limit)
	}
	return text, err
}

// readText reads a text file in any encoding that license.DecodeText takes.
func readText(name string, limit int64) (string, error) {
	data, err := readFile(name, limit)
	if err != nil {
		return "", err
	}
	text, err := license.DecodeText(name, data)
	if err != nil {
		return "", exitf(exitUsage, "%w", err)
	}
	return text, nil
}

// readInput reads a license file, or standard input for "-".
func (c *cli) readInput(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(c.program.Stdin, license.MaxBundle+1))
	}
	return readFile(name, license.MaxBundle)
}
