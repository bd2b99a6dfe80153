package cli

import (
	"encoding/json"
)

// explain prints an explanation for people: what was decided and who holds the units. For a
// license, it also prints each part and recent denials.
func (c *cli) explain(body json.RawMessage) error {
	var r record
	if err := readRecord(body, &r); err != nil {
		return err
	}
	for _, member := range []string{"license", "pool", "request_id"} {
		if r[member] == "" { // not set
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

// explainHolders prints the holders of the units in full pools.
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
			column{head: "SINCE", path: "since", as: unixTime}, column{head: "FREE BY", path: "free_at", as: unixTime})
	}
}
