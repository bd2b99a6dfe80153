package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

func licenseColumns() []column {
	return []column{
		{head: "LICENSE", path: "id"}, {head: "PRODUCT", path: "product"}, {head: "PLAN", path: "plan"}, {head: "CUSTOMER", path: "customer"},
		{head: "NAME", path: "customer_name"}, {head: "STATUS", path: "status"}, {head: "PAYMENT", path: "payment"}, {head: "START", path: "start"}, {head: "END", path: "end"},
	}
}

func (c *cli) licenseCommand() *cobra.Command {
	return group("license", "Issue, show and change licenses", "  copyhold license list",
		c.licenseIssueCommand(),
		c.listCommand(listing{
			use: "list", short: "List licenses", path: "/v1/licenses", as: client.ByToken, columns: licenseColumns(),
			example: "  copyhold license list\n  copyhold license list --plan studio --status active --ends-before 2027-01-31",
			filters: []filter{
				{"product", "only licenses of this product"}, {"plan", "only licenses of this plan"}, {"customer", "only licenses of this customer"},
				{"status", "only licenses with this status: active, suspended or revoked"}, {"revision", "only licenses of this revision"},
				{"reference", "only the license with this reference"}, {"ends-before", "only licenses that end before this date, sorted by their end"},
			},
		}),
		c.licenseShowCommand(),
		c.licenseChangeCommand(), c.licenseExtendCommand(), c.licenseRenewCommand(),
		c.licenseTurnCommand("suspend", "Suspend a license until it is reinstated", "payment overdue", newBulk(licensing.JobSuspend, "suspended", "")),
		c.licenseTurnCommand("reinstate", "End a suspension", "paid", newBulk(licensing.JobReinstate, "reinstated", "")),
		c.licenseRevokeCommand(),
		c.licenseRotateCommand(), c.licenseTransferCommand(), c.licenseExportCommand(), c.licenseImportCommand(),
	)
}

// licensePath returns the path of a license, or of an action on it.
func licensePath(id, action string) string {
	path := "/v1/licenses/" + url.PathEscape(id)
	if action == "" {
		return path
	}
	return path + "/" + action
}

// A presentLicense is a license as the server returns it.
type presentLicense struct {
	v1.License
	CustomerName string `json:"customer_name"`
}

// licenseNow fetches a license from the server.
func (c *cli) licenseNow(ctx context.Context, id string) (l presentLicense, err error) {
	a, err := c.do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: licensePath(id, "")})
	if err != nil {
		return l, err
	}
	return l, a.Decode(&l)
}

// act posts an action on a license and prints the license.
func (c *cli) act(cmd *cobra.Command, id, action string, body any) error {
	before, err := c.licenseNow(cmd.Context(), id)
	if err != nil {
		return err
	}
	return c.actOn(cmd, before, action, body)
}

// actOn is like act, for a license that was just fetched. It reports whether the action
// changed anything: every change to a license raises its seq.
func (c *cli) actOn(cmd *cobra.Command, before presentLicense, action string, body any) error {
	a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: licensePath(string(before.ID), action), Body: body})
	if err != nil {
		return err
	}
	var after struct {
		v1.License
		Transferred *v1.License `json:"license"`
	}
	if err := a.Decode(&after); err != nil {
		return err
	}
	if after.Transferred != nil {
		after.License = *after.Transferred
	}
	if after.Seq == before.Seq {
		c.sayf("nothing changed: license %s is already as requested", before.ID)
	}
	return c.printLicense(a)
}

func (c *cli) licenseIssueCommand() *cobra.Command {
	var customer, product, channel, revision, edition, payment, reference, start, end string
	var file target
	var addons, capacity []string
	cmd := &cobra.Command{
		Use:   "issue PLAN",
		Short: "Issue a license; its key is shown once or written to a file",
		Example: `  copyhold license issue studio --customer cus_01jd0000000000000000000000 --product lathe
  copyhold license issue team --customer cus_01jd0000000000000000000000 --addon seats-5=2 --to acme.key`,
		Args: exactly("PLAN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"plan": args[0], "customer": customer}
			for member, value := range map[string]string{
				"product": product, "channel": channel, "revision": revision, "edition": edition, "payment": payment, "reference": reference,
			} {
				if value != "" {
					body[member] = value
				}
			}
			grants, err := parseGrants(addons)
			if err != nil {
				return usageError(cmd, "%v", err)
			}
			if len(grants) > 0 {
				body["addons"] = grants
			}
			if units, err := parseCapacity(capacity); err != nil {
				return usageError(cmd, "%v", err)
			} else if len(units) > 0 {
				body["capacity"] = units
			}
			for member, text := range map[string]string{"start": start, "end": end} {
				if text == "" {
					continue
				}
				when, err := licensing.ParseDate(text)
				if err != nil {
					return usageError(cmd, "--%s: %v", member, err)
				}
				body[member] = when
			}
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodPost, Path: "/v1/licenses", Body: body})
			if err != nil {
				return err
			}
			return c.printNewKey(a, file)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&customer, "customer", "", "customer who gets the license")
	flags.StringVar(&product, "product", "", "product that the plan belongs to, if the plan name is ambiguous")
	flags.StringVar(&channel, "channel", "", "channel whose revisions the license follows; default: the plan's channel")
	flags.StringVar(&revision, "revision", "", "pin the license to this revision")
	flags.StringVar(&edition, "edition", "", "edition of the plan; default: the plan's default edition")
	flags.StringVar(&payment, "payment", "", "paid or unpaid; an unpaid license is in force but is not renewed; default: paid")
	flags.StringVar(&reference, "reference", "", "your own identifier for the license; must be unique")
	flags.StringVar(&start, "start", "", "start on this date, for plans that start on a date")
	flags.StringVar(&end, "end", "", "end on this date instead of at the end of the plan's first term")
	flags.StringArrayVar(&capacity, "capacity", nil, "pool capacity that replaces the plan's, for example seats=10; repeatable")
	flags.StringArrayVar(&addons, "addon", nil, "add-on: NAME or NAME=QUANTITY; repeatable")
	file.flags(cmd, forOwner, "write the key to this file, which only you can read")
	required(cmd, "customer")
	return cmd
}

// printNewKey prints a key, which cannot be shown again, or writes it to a file.
func (c *cli) printNewKey(a client.Answer, file target) error {
	if c.asJSON() && !file.given() {
		return c.printJSON(a.Body)
	}
	key, err := newKeyOf(a)
	if err != nil {
		return err
	}
	if !file.given() {
		c.printf("KEY  %s\n", key)
	} else {
		if err := file.writeSecret(key); err != nil {
			return fmt.Errorf("writing the license key: %w; create another key with copyhold license rotate-key", err)
		}
		c.sayf("wrote the license key to %s", file.name)
	}
	if client.Member(a.Body, "license") == nil {
		return nil
	}
	return c.printLicense(a)
}

// newKeyOf finds the text of a new license key: the answer either is the key or contains it.
func newKeyOf(a client.Answer) (string, error) {
	var text string
	body := a.Body
	for body != nil {
		body = client.Member(body, "key")
		if json.Unmarshal(body, &text) == nil {
			return text, nil
		}
	}
	return "", exitf(exitFailed, "the server's answer contains no key")
}

// parseGrants parses NAME or NAME=QUANTITY.
func parseGrants(texts []string) ([]licensing.Grant, error) {
	var grants []licensing.Grant
	for _, text := range texts {
		name, quantity, many := strings.Cut(text, "=")
		g := licensing.Grant{Addon: name, Quantity: 1}
		if many {
			n, err := strconv.ParseInt(quantity, 10, 64)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("--addon %s: the quantity must be a whole number, at least 1", text)
			}
			g.Quantity = n
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// parseCapacity parses POOL=UNITS.
func parseCapacity(texts []string) (map[string]int64, error) {
	units := map[string]int64{}
	for _, text := range texts {
		pool, number, _ := strings.Cut(text, "=")
		n, err := strconv.ParseInt(number, 10, 64)
		if pool == "" || err != nil || n < 0 {
			return nil, fmt.Errorf("--capacity %s: use the form POOL=UNITS, for example seats=10", text)
		}
		units[pool] = n
	}
	return units, nil
}
