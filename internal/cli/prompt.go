package cli

import (
	"bufio"
	"fmt"
	"strings"
)

// confirm asks for confirmation before an action that can't be undone. Yes is the flag --yes,
// which confirms in advance.
func (c *cli) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	return c.agreed(question, "--yes")
}

// agreed asks a yes-or-no question and returns nil for yes. Flag is the flag that confirms in
// advance.
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

// errNotDone ends a command after an answer of no, or an empty answer.
func errNotDone() error { return exitf(exitFailed, "canceled; nothing was changed") }

// prompt asks a question at the terminal and shows the choices. Flag is the flag that answers
// the question in advance; without a terminal, the error names it. All commands ask their
// questions here.
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
