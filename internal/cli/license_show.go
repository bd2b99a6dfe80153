package cli

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
)

func licenseDetails() []column {
	return append(licenseColumns(),
		column{head: "CHANNEL", path: "channel"}, column{head: "REVISION", path: "revision", as: shortHash},
		column{head: "TERM END", path: "term_end"}, column{head: "CHANGES AT", path: "change_at"},
		column{head: "MAINTENANCE", path: "maintenance"}, column{head: "ADD-ONS", path: "addons", as: grantsText},
		column{head: "REFERENCE", path: "reference"}, column{head: "STATE", path: "effective.decision.state"}, column{head: "REASON", path: "effective.decision.reason"})
}

// grantsText writes add-ons in the form that people type: render-farm, seats-5=2.
func grantsText(value any) string {
	return listText(value, func(g map[string]any) string {
		if n := plain(g["quantity"]); n != "1" && n != "-" {
			return plain(g["addon"]) + "=" + n
		}
		return plain(g["addon"])
	})
}

func listText(value any, text func(map[string]any) string) string {
	items, ok := value.([]any)
	if !ok {
		return plain(value)
	}
	parts := make([]string, 0, len(items))
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			parts = append(parts, text(object))
		} else {
			parts = append(parts, plain(item))
		}
	}
	return orDash(strings.Join(parts, ", "))
}

func (c *cli) licenseShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show LICENSE", Short: "Show a license, what it grants now, its exceptions, changes scheduled for renewal, and keys",
		Example: "  copyhold license show lic_01jd0000000000000000000000", Args: exactly("LICENSE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: licensePath(args[0], "")})
			if err != nil {
				return err
			}
			return c.printLicense(a)
		},
	}
}

// printLicense prints the license in an answer: the answer itself, or one of its members.
func (c *cli) printLicense(a client.Answer) error {
	if c.asJSON() {
		return c.printJSON(a.Body)
	}
	body := a.Body
	if inner := client.Member(body, "license"); len(inner) > 0 && inner[0] == '{' {
		body = inner
	}
	var r record
	if err := readRecord(body, &r); err != nil {
		return err
	}
	c.printFields(r, licenseDetails()...)
	c.printEffective(r)
	for _, e := range objects(r.at("exceptions")) {
		e["grants"] = exceptionText(e)
	}
	c.printSection(r, "exceptions", column{head: "EXCEPTION", path: "id"}, column{head: "GRANTS", path: "grants"},
		column{head: "UNTIL", path: "until"}, column{head: "REASON", path: "reason"})
	for _, s := range objects(r.at("scheduled")) {
		s["change"] = changeText(s)
	}
	c.printSection(r, "scheduled", column{head: "AT RENEWAL", path: "change"}, column{head: "IF MORE IS HELD", path: "below"})
	c.printSection(r, "keys", column{head: "KEY", path: "id"}, column{head: "CREATED", path: "created_at"}, column{head: "ENDS", path: "expires_at"})
	c.printSection(r, "programs", column{head: "SEEN", path: "at"}, column{head: "SERVICE", path: "service"}, column{head: "VERSION", path: "version"},
		column{head: "REGION", path: "region"}, column{head: "INSTANCE", path: "instance"})
	return nil
}

// printEffective prints what a license grants now, from its plan, add-ons and exceptions.
func (c *cli) printEffective(r record) {
	c.printNamed(r, "effective.features", column{head: "FEATURE", path: "name"}, column{head: "VALUE", path: "value"},
		column{head: "UNTIL", path: "until", rare: true}, column{head: "THEN", path: "then", rare: true})
	c.printNamed(r, "effective.pools", column{head: "POOL", path: "name"}, column{head: "HOLDER", path: "holder"}, column{head: "UNITS", path: "capacity"},
		column{head: "IN USE", path: "held"}, column{head: "OVERDRAFT", path: "overdraft", rare: true}, column{head: "WAITING", path: "waiting", rare: true})
	c.printNamed(r, "effective.meters", column{head: "METER", path: "name"}, column{head: "USED", path: "used"}, column{head: "QUOTA", path: "quota"},
		column{head: "UNIT", path: "unit"}, column{head: "PERIOD ENDS", path: "period_end"})
}

// printNamed prints the member objects of an object as a table, sorted by name.
func (c *cli) printNamed(r record, path string, columns ...column) {
	all, _ := r.at(path).(map[string]any)
	rows := make([]record, 0, len(all))
	for _, name := range sortedKeys(all) {
		if row, ok := all[name].(map[string]any); ok {
			row["name"] = name
			rows = append(rows, row)
		}
	}
	if len(rows) > 0 {
		c.printf("\n")
		c.printTable(rows, columns...)
	}
}

// objects returns the objects in a list.
func objects(value any) []map[string]any {
	items, _ := value.([]any)
	var all []map[string]any
	for _, item := range items {
		if object, ok := item.(map[string]any); ok {
			all = append(all, object)
		}
	}
	return all
}

// exceptionText writes what an exception grants in the form that people type: feature
// farm=true, pool seats=+2.
func exceptionText(e map[string]any) string {
	if name, ok := e["feature"].(string); ok {
		if value, ok := e["value"]; ok {
			text, _ := json.Marshal(value)
			return "feature " + name + "=" + strings.Trim(string(text), `"`)
		}
		return "feature " + name + " removed"
	}
	adjust := record(e)
	amount := plain(adjust.at("adjust.amount"))
	if n, err := strconv.ParseInt(amount, 10, 64); err == nil {
		scale, _ := strconv.Atoi(plain(e["scale"]))
		amount = licensing.FormatQuantity(n, scale)
	}
	if add, _ := adjust.at("adjust.add").(bool); add && !strings.HasPrefix(amount, "-") {
		amount = "+" + amount
	}
	for _, kind := range []string{"pool", "meter"} {
		if name, ok := e[kind].(string); ok {
			return kind + " " + name + "=" + amount
		}
	}
	return "-"
}

// changeText writes what a change does, except for what happens to units that are held.
func changeText(change map[string]any) string {
	var parts []string
	for _, name := range sortedKeys(change) {
		switch name {
		case "below", "when", "change":
		case "add":
			parts = append(parts, "add="+grantsText(change[name]))
		case "except":
			for _, e := range objects(change[name]) {
				parts = append(parts, exceptionText(e))
			}
		default:
			parts = append(parts, name+"="+plain(change[name]))
		}
	}
	return strings.Join(parts, ", ")
}
