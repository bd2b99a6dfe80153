package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/signing"
)

func (c *cli) sealingKeyCommand() *cobra.Command {
	return group("sealing-key", "Create the key that encrypts signing keys and backups", "  copyhold sealing-key new --to sealing.key", c.sealingKeyNewCommand())
}

func (c *cli) sealingKeyNewCommand() *cobra.Command {
	var file target
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Create a sealing key for a new server",
		Long: `New creates a sealing key before the first start. Use it if you keep the key in a secret
store, or if several servers share a database. Otherwise a server creates its own key in
its data folder. Once a server has used a database, the database opens only with the same
key. Without --to, new prints the key.`,
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
				err = c.done(file.write([]byte(text)), "wrote the sealing key to %s; keep a copy of it, separate from the backups", file.name)
			}
			return err
		},
	}
	file.flags(cmd, forOwner, "new file for the key, which only its owner can read")
	return cmd
}
