package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "How an environment stands, and how long until something is denied",
		Long: `Status shows the runway (how long until something will be denied if nobody acts, and
the first cause), what ends next, how full pools are, and for each plan how long a
revoked license can go on at worst. A capacity is what can be held now: 0 where the
license is not in force. NOTHING NEW says why a pool grants no unit whatever is free.`,
		Example: "  copyhold status\n  copyhold status --environment staging --output json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := c.do(cmd.Context(), client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/status"})
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(a.Body)
			}
			var r record
			if err := readRecord(a.Body, &r); err != nil {
				return err
			}
			c.printStatus(r)
			return nil
		},
	}
}

func (c *cli) printStatus(r record) {
	if never, _ := r.at("runway.never").(bool); never {
		set(r, "runway.seconds", "without end")
	}
	c.printFields(r,
		column{head: "ENVIRONMENT", path: "environment"}, column{head: "STATUS", path: "status"},
		column{head: "RUNWAY", path: "runway.seconds", as: lengthText}, column{head: "FIRST", path: "runway.cause"},
		column{head: "OF", path: "runway.subject"}, column{head: "AT", path: "runway.at"},
		column{head: "LICENSES", path: "licenses"}, column{head: "SIGNING KEY", path: "signing_key"},
		column{head: "LOG ENTRIES", path: "entries"}, column{head: "FENCED SINCE", path: "fenced_since"}, column{head: "FENCED UNTIL", path: "fence.until"},
		column{head: "CLOSED", path: "closed_at"}, column{head: "CLOCK", path: "clock.reason"}, column{head: "VERSION", path: "version"})
	c.printSection(r, "fence.pools", fencedColumns()...)
	c.printSection(r, "moves",
		column{head: "MOVE", path: "id"}, column{head: "PLAN", path: "plan"}, column{head: "TO", path: "revision", as: shortHash},
		column{head: "MOVED", path: "moved"}, column{head: "OF", path: "total"}, column{head: "SINCE", path: "at"})
	c.printSection(r, "pools",
		column{head: "POOL", path: "pool"}, column{head: "LICENSE", path: "license"}, column{head: "CUSTOMER", path: "customer_name"}, column{head: "HELD", path: "held"},
		column{head: "CAPACITY", path: "capacity"}, column{head: "WAITING", path: "waiting"},
		column{head: "NOTHING NEW", path: "refused", rare: true})
	c.printSection(r, "quarantine",
		column{head: "LOG ROWS IN QUARANTINE", path: "rows"}, column{head: "ENVIRONMENT", path: "environment"},
		column{head: "CAUSE", path: "cause"}, column{head: "SINCE", path: "since"})
	c.printSection(r, "plans",
		column{head: "PLAN", path: "plan"}, column{head: "ACTIVE", path: "licenses.active"},
		column{head: "REVOKED WITHIN", path: "bounds.connected"}, column{head: "OFFLINE AT WORST", path: "bounds.revocation"},
		column{head: "BY", path: "bounds.cause"})
}

// printSection prints a list in a record as a table, if there is anything in it.
func (c *cli) printSection(r record, path string, columns ...column) {
	items, _ := r.at(path).([]any)
	rows := make([]record, 0, len(items))
	for _, item := range items {
		if row, ok := item.(map[string]any); ok {
			rows = append(rows, row)
		}
	}
	if len(rows) > 0 {
		c.printf("\n")
		c.printTable(rows, columns...)
	}
}

// lengthText writes a number of seconds as people say it.
func lengthText(value any) string {
	number, ok := value.(json.Number)
	if !ok {
		return plain(value)
	}
	seconds, err := number.Float64()
	if err != nil {
		return number.String()
	}
	d := time.Duration(seconds) * time.Second
	if d < 24*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
