// Command manual writes a man page for each command of copyhold into a folder, for a release.
// Usage: manual FOLDER. The pages carry the date in SOURCE_DATE_EPOCH.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra/doc"

	"copyhold.dev/internal/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manual FOLDER")
		os.Exit(2)
	}
	root := cli.Manual()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "1", Source: "Copyhold", Manual: "Copyhold's commands"}
	if err := doc.GenManTree(root, header, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}
