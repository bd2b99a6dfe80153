package cli

import "encoding/json"

// explain writes an explanation for people: what was decided, who holds, and of
// a license also each of its parts and what was denied lately.
func (c *cli) explain(body json.RawMessage) error {
	var r record
	if err := readRecord(body, &r); err != nil {
		return err
	}
	c.printFields(r, append([]column{
		{head: "LICENSE", path: "license"}, {head: "CUSTOMER", path: "customer"}, {head: "PLAN", path: "plan"}, {head: "REQUEST", path: "request_id"},
		{head: "AT", path: "at"}, {head: "POOL", path: "pool"}, {head: "HOLDER", path: "holder", as: holderText}, {head: "TIMES", path: "times"},
	}, decisionColumns("decision.")...)...)
	c.printSection(r, "decision.holders",
		column{head: "HOLDER", path: "holder"}, column{head: "INSTANCE", path: "instance"}, column{head: "UNITS", path: "units"},
		column{head: "SINCE", path: "since", as: unixTime}, column{head: "FREE AT", path: "free_at", as: unixTime})
	for _, part := range []struct{ head, path string }{{"FEATURE", "features"}, {"POOL", "pools"}, {"METER", "meters"}} {
		c.explainPart(r, part.head, part.path)
	}
	c.printSection(r, "denials",
		column{head: "DENIED", path: "at"}, column{head: "POOL", path: "pool"}, column{head: "HOLDER", path: "holder"}, column{head: "TIMES", path: "times"},
		column{head: "REASON", path: "decision.reason"}, column{head: "REQUEST", path: "request_id"})
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
