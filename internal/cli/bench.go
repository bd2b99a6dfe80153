package cli

import "github.com/spf13/cobra"

func (c *cli) benchCommand() *cobra.Command {
	return group("bench", "Make data for trials of large deployments; never use it in production", "  copyhold bench fill --environment staging --licenses 100000",
		c.benchFillCommand(),
	)
}
