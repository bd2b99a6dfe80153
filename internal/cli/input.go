package cli

import (
	"io"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/license"
)

// readInput reads a license file, or standard input for "-".
func (c *cli) readInput(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(c.program.Stdin, license.MaxBundle+1))
	}
	return client.ReadFile(name, license.MaxBundle)
}
