package cli

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks before something that can't be undone. Yes is the flag --yes, which
// answers it.
func (c *cli) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	return c.agreed(question, "--yes")
}

// agreed asks a question that is answered by yes or no, and returns nil for yes. Flag is
// what answers it on the command line.
func (c *cli) agreed(question, flag string) error {
	answer, err := c.prompt(question, " [y/N]", flag+" to confirm")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errNotDone()
	}
	return nil
}

// errNotDone ends a command whose question was answered by no, or by nothing.
func errNotDone() error { return exitf(exitFailed, "canceled; nothing was changed") }

// prompt asks at the terminal for what flag would say on the command line, and shows the
// answers to choose from. All questions of all commands are asked here: without a
// terminal there is nobody to ask, and the error names the flag.
func (c *cli) prompt(question, choices, flag string) (string, error) {
	if !isTerminal(c.program.Stdin) {
		return "", exitf(exitUsage, "%s\n  no terminal; rerun with %s", question, flag)
	}
	fmt.Fprintf(c.program.Stderr, "%s%s ", legible(question), choices)
	text, err := bufio.NewReader(c.program.Stdin).ReadString('\n')
	if text = strings.TrimSpace(text); text != "" {
		return text, nil
	}
	if err != nil {
		return "", exitf(exitUsage, "no answer was read (%w); rerun with %s", err, flag)
	}
	return "", errNotDone()
}
