package cli

import "encoding/json"

// explain writes an explanation for people: what was decided, then who holds.
func (c *cli) explain(body json.RawMessage) error {
	var r record
	if err := readRecord(body, &r); err != nil {
		return err
	}
	c.printFields(r,
		column{head: "LICENSE", path: "license"}, column{head: "REQUEST", path: "request_id"}, column{head: "AT", path: "at"},
		column{head: "POOL", path: "pool"}, column{head: "METER", path: "meter"}, column{head: "HOLDER", path: "holder", as: holderText})
	c.printFields(r, decisionColumns("decision.")...)
	holders, _ := r.at("decision.holders").([]any)
	if len(holders) == 0 {
		return nil
	}
	rows := make([]record, 0, len(holders))
	for _, h := range holders {
		if row, ok := h.(map[string]any); ok {
			rows = append(rows, row)
		}
	}
	c.printf("\n")
	c.printTable(rows,
		column{head: "HOLDER", path: "holder"}, column{head: "INSTANCE", path: "instance"}, column{head: "UNITS", path: "units"},
		column{head: "SINCE", path: "since", as: unixTime}, column{head: "FREE AT", path: "free_at", as: unixTime})
	return nil
}
