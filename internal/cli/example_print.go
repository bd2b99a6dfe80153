package cli

import (
	"path/filepath"

	"copyhold.dev/internal/client"
)

// printExample prints the demo's licenses and commands to try.
func (c *cli) printExample(e *example, url string) {
	c.printf("Copyhold is running at %s and keeps its data in %s. Stop it with Ctrl-C.\n\n", url, e.folder)
	rows := make([]record, len(e.licenses))
	for i, l := range e.licenses {
		rows[i] = record{"plan": l.Plan, "shows": l.Shows, "key": l.Key}
	}
	c.printTable(rows, column{head: "PLAN", path: "plan"}, column{head: "SHOWS", path: "shows"}, column{head: "LICENSE KEY", path: "key"})
	c.printf("\nEach key is also in %s. In another terminal, try:\n\n", filepath.Join(e.folder, "keys", "PLAN.key"))
	for _, line := range c.toTry(e, url) {
		c.printf("  %s\n", line)
	}
	c.printf("\n")
}

// toTry returns the commands that the demo suggests, ready to paste into a shell.
func (c *cli) toTry(e *example, url string) []string {
	me := c.program.Args[0]
	studio := " --pool seats --key-file " + filepath.Join(e.folder, "keys", "studio.key")
	token := " --token-file " + e.tokenFile()
	lines := []string{
		me + " lease acquire --holder ann" + studio,
		me + " lease acquire --holder bob" + studio,
		me + " lease acquire --holder cy" + studio + "     # the third seat of two: denied",
		me + " lease list" + token,
		me + " run --pool jobs --holder workload:nightly --wait 5m --key-file " + filepath.Join(e.folder, "keys", "render.key") + " -- sleep 3",
	}
	if url != client.DefaultURL {
		lines = append([]string{"export COPYHOLD_URL=" + url}, lines...)
	}
	return lines
}
