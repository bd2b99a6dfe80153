package cli

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks before something that cannot be undone silently. Yes is the flag
// --yes; without a terminal there is nobody to ask, and that is a refusal.
func (c *cli) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(c.program.Stdin) {
		return exitf(exitUsage, "%s Repeat with --yes to do it", question)
	}
	fmt.Fprintf(c.program.Stderr, "%s [y/N] ", legible(question))
	text, err := bufio.NewReader(c.program.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(text)); answer == "y" || answer == "yes" {
		return nil
	}
	if err != nil {
		return exitf(exitUsage, "nobody answers (%w): repeat with --yes to do it", err)
	}
	return exitf(exitFailed, "nothing was done")
}

// prompt asks for a text that a flag would give. Without a terminal there is
// nobody to ask, and that is a refusal.
func (c *cli) prompt(question, flag string) (string, error) {
	if !isTerminal(c.program.Stdin) {
		return "", exitf(exitUsage, "%s Repeat with --%s", question, flag)
	}
	fmt.Fprintf(c.program.Stderr, "%s ", legible(question))
	text, err := bufio.NewReader(c.program.Stdin).ReadString('\n')
	if text = strings.TrimSpace(text); text != "" {
		return text, nil
	}
	if err != nil {
		return "", exitf(exitUsage, "nobody answers (%w): repeat with --%s", err, flag)
	}
	return "", exitf(exitFailed, "nothing was done")
}
