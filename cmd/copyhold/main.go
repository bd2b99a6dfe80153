// Command copyhold is the license server, its administration and its client.
package main

import (
	"os"

	"copyhold.dev/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.OS()))
}
