package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/signing"
)

func (c *cli) sealingKeyCommand() *cobra.Command {
	return group("sealing-key", "The key that opens the signing keys and the backups", "  copyhold sealing-key new --to sealing.key", c.sealingKeyNewCommand())
}

func (c *cli) sealingKeyNewCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a sealing key, for a server that has none yet",
		Long: `New makes a sealing key before the first start: for a store of secrets, or for servers
that share a database. A server that finds none makes one by itself, in its data folder.
A database that is in use opens only with the key that it was begun with. Without --to
the key is printed.`,
		Example: `  copyhold sealing-key new --to sealing.key
  copyhold sealing-key new | systemd-creds encrypt --name=copyhold-sealing-key - sealing.cred`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			key, err := signing.NewSealingKey()
			if err != nil {
				return err
			}
			if text := key.Text().Reveal(); !file.given() {
				_, err = fmt.Fprint(c.program.Stdout, text)
			} else {
				err = c.done(file.write([]byte(text)), "sealing key written to %s; keep a copy apart from the backups", file.name)
			}
			return err
		},
	}
	file.flags(cmd, forOwner, "new file for the key, readable by its owner alone")
	return cmd
}
