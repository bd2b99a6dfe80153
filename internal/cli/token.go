package cli

import (
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func tokenColumns() []column {
	return []column{
		{head: "TOKEN", path: "id"}, {head: "NAME", path: "name"}, {head: "ROLE", path: "role"}, {head: "ENVIRONMENT", path: "environment"},
		{head: "CUSTOMER", path: "customer"}, {head: "CUSTOMER NAME", path: "customer_name", rare: true}, {head: "PRODUCT", path: "product"},
		{head: "EXPIRES", path: "expires_at"}, {head: "LAST USED", path: "used_at"},
	}
}

func (c *cli) tokenCommand() *cobra.Command {
	return group("token", "Manage tokens for administrators, each with a role, a scope and an expiry date", "  copyhold token list",
		c.tokenCreateCommand(),
		c.listCommand(listing{
			use: "list", short: "List tokens, without their secrets", example: "  copyhold token list",
			path: "/v1/tokens", as: client.ByToken, columns: tokenColumns(),
		}),
		c.showCommand("TOKEN", "Show a token", "  copyhold token show tok_01jd0000000000000000000000", "/v1/tokens", tokenColumns()...),
		c.deleteCommand("revoke", "TOKEN", "Revoke a token at once", "  copyhold token revoke tok_01jd0000000000000000000000", "/v1/tokens"),
	)
}

func (c *cli) tokenCreateCommand() *cobra.Command {
	var role, customer, product string
	var file target
	var everywhere bool
	var lifetime int64
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a token; its secret is shown once or written to a file",
		Example: `  copyhold token create ci --role viewer --expires-in 90d --to ./ci.token
  copyhold token create acme-admin --role customer --customer cus_01jd0000000000000000000000`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0], "role": role}
			for member, value := range map[string]string{"customer": customer, "product": product} {
				if value != "" {
					body[member] = value
				}
			}
			if everywhere {
				body["spans"] = true
			}
			if lifetime > 0 {
				body["expires_at"] = time.Now().Add(time.Duration(lifetime) * time.Second).UTC().Truncate(time.Second)
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/tokens", Body: body})
			if err != nil {
				return err
			}
			if !file.given() {
				return c.printRecord(a.Body, append([]column{{head: "SECRET", path: "secret"}}, tokenColumns()...)...)
			}
			text, err := newTokenOf(a)
			if err != nil {
				return err
			}
			return c.done(file.writeSecret(text), "wrote the token to %s", file.name)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&role, "role", "viewer", "owner, admin, issuer, operator, viewer, auditor or customer")
	flags.StringVar(&customer, "customer", "", "limit the token to this customer")
	flags.StringVar(&product, "product", "", "limit the token to this product")
	flags.BoolVar(&everywhere, "all-environments", false, "allow the token in every environment")
	fills(flags, "all-environments", "spans")
	file.flags(cmd, forOwner, "write the secret to this file, which only you can read")
	secondsVar(flags, &lifetime, "expires-in", "how long the token is valid, for example 90d; default: set by the server")
	fills(flags, "expires-in", "expires_at")
	return cmd
}

// newTokenOf finds the text of a new token in the answer that created it.
func newTokenOf(a client.Answer) (string, error) {
	var created struct {
		Secret string `json:"secret"`
	}
	if err := a.Decode(&created); err != nil {
		return "", err
	}
	if created.Secret == "" {
		return "", exitf(exitFailed, "the server's answer contains no token")
	}
	return created.Secret, nil
}
