package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func productColumns() []column {
	return []column{
		{head: "PRODUCT", path: "name"}, {head: "TITLE", path: "title"}, {head: "TEAM", path: "owner.team"},
		{head: "PAGER", path: "owner.pager"}, {head: "RUNBOOK", path: "owner.runbook"}, {head: "CREATED", path: "created"},
	}
}

func (c *cli) productCommand() *cobra.Command {
	return group("product", "Manage products and their owners", "  copyhold product list",
		c.productCreateCommand(),
		c.listCommand(listing{
			use: "list", short: "List products", example: "  copyhold product list",
			path: "/v1/products", as: client.ByToken, columns: productColumns(),
		}),
		c.showCommand("PRODUCT", "Show a product", "  copyhold product show lathe", "/v1/products", productColumns()...),
		c.productChangeCommand(),
		c.deleteCommand("delete", "PRODUCT", "Delete a product that has no plans", "  copyhold product delete lathe", "/v1/products"),
		c.featureKeyCommand(), c.sealCommand(),
	)
}

// productMembers maps flags to members of a product.
func productMembers() map[string]string {
	return map[string]string{"title": "title", "team": "owner.team", "pager": "owner.pager", "runbook": "owner.runbook"}
}

func productFlags(cmd *cobra.Command) {
	cmd.Flags().String("title", "", "display name of the product")
	cmd.Flags().String("team", "", "team that owns the product")
	cmd.Flags().String("pager", "", "contact for urgent licensing problems")
	cmd.Flags().String("runbook", "", "URL of the runbook for licensing problems")
}

func (c *cli) productCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create PRODUCT",
		Short:   "Create a product; it must have an owner",
		Example: "  copyhold product create lathe --title Lathe --team cam --pager cam-oncall@example.com --runbook https://example.com/runbooks/lathe",
		Args:    exactly("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := patch(cmd, productMembers())
			body["name"] = args[0]
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/products", Body: body}, productColumns()...)
		},
	}
	productFlags(cmd)
	for _, name := range []string{"team", "pager", "runbook"} {
		required(cmd, name)
	}
	return cmd
}

func (c *cli) productChangeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "change PRODUCT",
		Short:   "Change a product's title or owner",
		Example: "  copyhold product change lathe --pager cam-2@example.com",
		Args:    exactly("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := patch(cmd, productMembers())
			if len(body) == 0 {
				return usageError(cmd, "no changes specified")
			}
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPatch, Path: "/v1/products/" + url.PathEscape(args[0]), Body: body}, productColumns()...)
		},
	}
	productFlags(cmd)
	return cmd
}
