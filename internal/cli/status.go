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
		Short: "Show the state of an environment and the time until something is denied",
		Long: `Status shows the runway: how long until something is denied if nobody acts, and the
first cause. It also shows what ends next, how full the pools are, and, for each plan,
how long a program can keep using a revoked license in the worst case. CAPACITY is the
number of units that can be held now; it is 0 if the license is not in force. NO NEW
GRANTS shows why a pool grants nothing, even if units are free.`,
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
		set(r, "runway.seconds", "unlimited")
	}
	c.printFields(r,
		column{head: "ENVIRONMENT", path: "environment"}, column{head: "STATUS", path: "status"},
		column{head: "RUNWAY", path: "runway.seconds", as: lengthText}, column{head: "FIRST CAUSE", path: "runway.cause"},
		column{head: "SUBJECT", path: "runway.subject"}, column{head: "AT", path: "runway.at"},
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
		column{head: "NO NEW GRANTS", path: "refused", rare: true})
	c.printSection(r, "quarantine",
		column{head: "LOG ROWS IN QUARANTINE", path: "rows"}, column{head: "ENVIRONMENT", path: "environment"},
		column{head: "CAUSE", path: "cause"}, column{head: "SINCE", path: "since"})
	c.printSection(r, "plans",
		column{head: "PLAN", path: "plan"}, column{head: "ACTIVE", path: "licenses.active"},
		column{head: "REVOKED WITHIN", path: "bounds.connected"}, column{head: "OFFLINE WITHIN", path: "bounds.revocation"},
		column{head: "BECAUSE OF", path: "bounds.cause"})
}

// printSection prints a list in a record as a table, unless the list is empty.
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

// lengthText writes a number of seconds as a duration for people.
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
