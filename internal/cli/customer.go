package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func customerColumns() []column {
	return []column{
		{head: "CUSTOMER", path: "id"}, {head: "NAME", path: "name"}, {head: "EMAIL", path: "email"},
		{head: "REFERENCE", path: "reference"}, {head: "CREATED", path: "created"},
	}
}

func (c *cli) customerCommand() *cobra.Command {
	return group("customer", "Manage customers", "  copyhold customer list",
		c.customerCreateCommand(),
		c.listCommand(listing{
			use: "list", short: "List customers", path: "/v1/customers", as: client.ByToken, columns: customerColumns(),
			example: "  copyhold customer list\n  copyhold customer list --reference crm-4711",
			filters: []filter{{"reference", "only the customer with this reference"}},
		}),
		c.showCommand("CUSTOMER", "Show a customer", "  copyhold customer show cus_01jd0000000000000000000000", "/v1/customers", customerColumns()...),
		c.customerChangeCommand(),
		c.deleteCommand("delete", "CUSTOMER", "Delete a customer that has no licenses", "  copyhold customer delete cus_01jd0000000000000000000000", "/v1/customers"),
	)
}

func customerMembers() map[string]string {
	return map[string]string{"name": "name", "email": "email", "reference": "reference"}
}

func (c *cli) customerCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a customer",
		Example: "  copyhold customer create 'Acme Ltd' --email licenses@acme.example --reference crm-4711",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := patch(cmd, customerMembers())
			body["name"] = args[0]
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/customers", Body: body}, customerColumns()...)
		},
	}
	cmd.Flags().String("email", "", "email address for warnings")
	cmd.Flags().String("reference", "", "your own identifier for the customer; must be unique")
	return cmd
}

func (c *cli) customerChangeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "change CUSTOMER",
		Short:   "Change a customer's name, email address or reference",
		Example: "  copyhold customer change cus_01jd0000000000000000000000 --email new@acme.example",
		Args:    exactly("CUSTOMER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := patch(cmd, customerMembers())
			if len(body) == 0 {
				return usageError(cmd, "no changes specified")
			}
			return c.ask(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPatch, Path: "/v1/customers/" + url.PathEscape(args[0]), Body: body}, customerColumns()...)
		},
	}
	cmd.Flags().String("name", "", "the customer's name")
	cmd.Flags().String("email", "", "email address for warnings")
	cmd.Flags().String("reference", "", "your own identifier for the customer; must be unique")
	return cmd
}
