package store

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// growing are the statements on tables that grow with the number of leases and events.
var growing = map[string]*multirow{
	"lockPools": &lockPools, "putPools": &putPools, "insertLeases": &insertLeases, "putLeases": &putLeases,
	"endLeases": &endLeases, "readLeases": &readLeases, "forgetLeases": &forgetLeases, "lookUpAsks": &lookUpAsks,
	"putRequests": &putRequests, "forgetRequests": &forgetRequests, "matchComponents": &matchComponents,
	"dropComponents": &dropComponents, "putTickets": &putTickets, "readTickets": &readTickets, "keepTickets": &keepTickets,
	"forgetTickets": &forgetTickets, "knownEvents": &knownEvents, "putTotals": &putTotals, "putDenials": &putDenials,
	"licenseSeqs": &licenseSeqs,
}

// TestEveryStatementFindsItsRowsByKey checks that the embedded engine never scans a growing table.
// The cost of a batch must not depend on the size of the tables.
func TestEveryStatementFindsItsRowsByKey(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		if _, err := db.Exec(up); err != nil {
			t.Fatalf("%s: %v", e.Name(), err)
		}
	}
	for name, m := range growing {
		for _, text := range []string{m.texts[0], m.texts[step], m.texts[sizes-1]} {
			for _, detail := range queryPlan(t, db, text) {
				for _, grows := range []string{"lease", "l", "r", "pool", "p", "ticket", "t", "component", "c", "e", "request"} {
					if detail == "SCAN "+grows || strings.HasPrefix(detail, "SCAN "+grows+" ") || strings.Contains(detail, "AUTOMATIC") {
						t.Errorf("%s scans: %s", name, detail)
					}
				}
			}
		}
	}
}

// queryPlan returns the steps of SQLite's plan for a statement.
func queryPlan(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "$"))...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// TestPlansAreMadeAnewWhileTablesGrow checks that plans are renewed soon at first, then less and
// less often.
func TestPlansAreMadeAnewWhileTablesGrow(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	s, e := &session{planned: start, every: replanFirst}, Engine{Replan: "PLAN"}
	var at []int
	for after := range 2000 {
		if s.replan(e, start.Add(time.Duration(after)*time.Second)) != "" {
			at = append(at, after)
		}
	}
	if want := []int{1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111, 1411, 1711}; !slices.Equal(at, want) {
		t.Errorf("planned again after %v seconds, want %v", at, want)
	}
	if s.replan(Engine{}, start.Add(time.Hour)) != "" {
		t.Error("planned again on an engine that does not need it")
	}
}
