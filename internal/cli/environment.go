package cli

import (
	"net/http"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func environmentColumns() []column {
	return []column{{head: "ENVIRONMENT", path: "name"}, {head: "KIND", path: "kind"}, {head: "CREATED", path: "created"}}
}

func (c *cli) environmentCommand() *cobra.Command {
	return group("environment", "Manage environments: production, staging and development, each with separate data and keys", "  copyhold environment list",
		c.environmentCreateCommand(),
		c.listCommand(listing{
			use: "list", short: "List environments", example: "  copyhold environment list",
			path: "/v1/environments", as: client.ByToken, columns: environmentColumns(),
		}),
		c.showCommand("ENVIRONMENT", "Show an environment", "  copyhold environment show staging", "/v1/environments", environmentColumns()...),
	)
}

func (c *cli) environmentCreateCommand() *cobra.Command {
	var kind string
	cmd := &cobra.Command{
		Use:     "create ENVIRONMENT",
		Short:   "Create an environment with its own signing keys",
		Example: "  copyhold environment create staging --kind staging",
		Args:    exactly("ENVIRONMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0], "kind": kind}
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/environments", Body: body}, environmentColumns()...)
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "development", "production, staging or development")
	return cmd
}
