package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// denialText writes a decision for people: its reason and, on lines of their own,
// who holds what was asked for and when some of it is free at the latest.
func denialText(d license.Decision) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s)", d.Reason, d.Code)
	for _, h := range d.Holders {
		fmt.Fprintf(&text, "\n  %s", h.Holder)
		if h.Name != "" {
			fmt.Fprintf(&text, " (%s)", h.Name)
		}
		fmt.Fprintf(&text, " holds %d", h.Units)
		if h.Instance != "" {
			fmt.Fprintf(&text, " on %s", h.Instance)
		}
		if h.Since > 0 {
			fmt.Fprintf(&text, " since %s", timeText(h.Since))
		}
		if h.FreeAt > 0 {
			fmt.Fprintf(&text, ", at the latest until %s", timeText(h.FreeAt))
		}
	}
	if d.FreeAt > 0 {
		fmt.Fprintf(&text, "\n  free at the latest at %s%s", timeText(d.FreeAt), away(d.FreeAt))
	}
	if d.NextAt > 0 && d.Next != "" {
		fmt.Fprintf(&text, "\n  next: %s at %s%s", d.Next, timeText(d.NextAt), away(d.NextAt))
	}
	if d.RequestID != "" {
		fmt.Fprintf(&text, "\n  request %s, which the vendor explains with \"copyhold why\"", d.RequestID)
	}
	return text.String()
}

func timeText(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// away says how far ahead a time is, in whole minutes if it is more than one.
func away(seconds int64) string {
	left := time.Until(time.Unix(seconds, 0))
	switch {
	case left < time.Second:
		return ""
	case left < time.Minute:
		return fmt.Sprintf(", in %ds", int64(left.Seconds()))
	}
	return ", in " + minutesText(left)
}

// minutesText writes a length of time in days, hours and minutes.
func minutesText(d time.Duration) string {
	var text strings.Builder
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}} {
		if n := d / unit.size; n > 0 {
			fmt.Fprintf(&text, "%d%s", n, unit.name)
		}
		d %= unit.size
	}
	return text.String()
}

// explain writes an explanation for people: what was decided, who holds, and of
// a license also each of its parts and what was denied lately.
func (c *cli) explain(body json.RawMessage) error {
	var r record
	if err := readRecord(body, &r); err != nil {
		return err
	}
	for _, member := range []string{"license", "pool", "request_id"} {
		if r[member] == "" { // there is none
			delete(r, member)
		}
	}
	c.printFields(r, append([]column{
		{head: "ID", path: "id"}, {head: "KIND", path: "kind"},
		{head: "LICENSE", path: "license"}, {head: "CUSTOMER", path: "customer"}, {head: "PLAN", path: "plan"}, {head: "REQUEST", path: "request_id"}, {head: "CALL", path: "call"},
		{head: "AT", path: "at"}, {head: "POOL", path: "pool"}, {head: "HOLDER", path: "holder", as: holderText}, {head: "LEASE", path: "lease"}, {head: "TICKET", path: "ticket"},
		{head: "STATUS", path: "status"}, {head: "QUANTITY", path: "quantity"}, {head: "USED AT", path: "used_at"}, {head: "TIMES", path: "times"}, {head: "REPEATED", path: "repeated"},
		{head: "SERVICE", path: "service"}, {head: "VERSION", path: "version"}, {head: "INSTANCE", path: "instance"}, {head: "REGION", path: "region"},
	}, append(decisionColumns("decision."), column{head: "EXCEPTIONS", path: "decision.exceptions"}, column{head: "LICENSE NOW", path: "license_now.reason"})...)...)
	c.printSection(r, "parts",
		column{head: "PART", path: "request_id"}, column{head: "KIND", path: "kind"}, column{head: "OF", path: "pool"}, column{head: "LICENSE", path: "license"},
		column{head: "LEASE", path: "lease", rare: true}, column{head: "QUANTITY", path: "quantity", rare: true},
		column{head: "OUTCOME", path: "decision.outcome"}, column{head: "REASON", path: "decision.reason"})
	c.printSection(r, "decision.holders",
		column{head: "HOLDER", path: "holder"}, column{head: "NAME", path: "name", rare: true}, column{head: "INSTANCE", path: "instance"}, column{head: "UNITS", path: "units"},
		column{head: "SINCE", path: "since", as: unixTime}, column{head: "FREE AT", path: "free_at", as: unixTime})
	for _, part := range []struct{ head, path string }{{"FEATURE", "features"}, {"POOL", "pools"}, {"METER", "meters"}} {
		c.explainPart(r, part.head, part.path)
	}
	c.explainHolders(r)
	c.printSection(r, "denials",
		column{head: "DENIED", path: "at"}, column{head: "OF", path: "pool"}, column{head: "HOLDER", path: "holder"}, column{head: "TIMES", path: "times"},
		column{head: "REASON", path: "decision.reason"}, column{head: "REQUEST", path: "request_id"},
		column{head: "SERVICE", path: "service", rare: true}, column{head: "VERSION", path: "version", rare: true}, column{head: "REGION", path: "region", rare: true})
	c.printSection(r, "entries",
		column{head: "LOG ENTRY", path: "index"}, column{head: "AT", path: "at"}, column{head: "TYPE", path: "type"}, column{head: "ACTOR", path: "actor"},
		column{head: "SUBJECT", path: "subject"}, column{head: "LICENSE", path: "license", rare: true})
	return nil
}

// explainPart prints the decisions on the features, pools or meters of a license.
func (c *cli) explainPart(r record, head, path string) {
	decisions, _ := r.at(path).(map[string]any)
	var rows []record
	for _, name := range sortedKeys(decisions) {
		if d, ok := decisions[name].(map[string]any); ok {
			rows = append(rows, record{"name": name, "outcome": d["outcome"], "reason": d["reason"]})
		}
	}
	if len(rows) > 0 {
		c.printf("\n")
		c.printTable(rows, column{head: head, path: "name"}, column{head: "OUTCOME", path: "outcome"}, column{head: "REASON", path: "reason"})
	}
}

// explainHolders prints who holds the units of the pools that are full.
func (c *cli) explainHolders(r record) {
	pools, _ := r.at("pools").(map[string]any)
	var rows []record
	for _, name := range sortedKeys(pools) {
		d, _ := pools[name].(map[string]any)
		holders, _ := d["holders"].([]any)
		for _, h := range holders {
			if held, ok := h.(map[string]any); ok {
				held["pool"] = name
				rows = append(rows, held)
			}
		}
	}
	if len(rows) > 0 {
		c.printf("\n")
		c.printTable(rows, column{head: "FULL POOL", path: "pool"}, column{head: "HELD BY", path: "holder"}, column{head: "NAME", path: "name", rare: true}, column{head: "UNITS", path: "units"},
			column{head: "SINCE", path: "since", as: unixTime}, column{head: "FREE AT THE LATEST", path: "free_at", as: unixTime})
	}
}
