package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

// TestPostgresFindsRowsByKeyFromTheFirst checks plans before any table has been analyzed, because
// such plans can stay in use for a long time. No plan may scan a growing index, whether the tables
// are empty or have begun to fill.
func TestPostgresFindsRowsByKeyFromTheFirst(t *testing.T) {
	db := storetest.Postgres(t)
	check := func(stage string) {
		for name, texts := range store.Growing() {
			for _, text := range texts {
				var plan []string
				err := db.View(t.Context(), func(tx *store.Tx) (err error) {
					plan, err = tx.PostgresPlan(t.Context(), text)
					return err
				})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				for i, line := range plan {
					scans := strings.Contains(line, "Scan") && !strings.Contains(line, "Values Scan") && !strings.Contains(line, "Subquery Scan")
					if scans && (i+1 == len(plan) || !strings.Contains(plan[i+1], "Index Cond")) {
						t.Errorf("%s, %s: %s", stage, name, strings.TrimSpace(line))
					}
					if strings.Contains(line, "on lease l") && name == "lookUpAsks" && (!strings.Contains(line, "lease_holder") && stage != "empty" || !strings.Contains(plan[i+1], "instance =")) {
						t.Errorf("%s, %s: %s by %s", stage, name, strings.TrimSpace(line), strings.TrimSpace(plan[i+1]))
					}
				}
			}
		}
	}
	check("empty")
	now := time.Unix(1_800_000_000, 0)
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		leases := make([]*licensing.Lease, 0, 2000)
		for n := range cap(leases) {
			leases = append(leases, &licensing.Lease{
				Env: "production", ID: licensing.LeaseID(fmt.Sprint("lse_", n)), License: "lic_1", Pool: "seats", Holder: fmt.Sprint("holder-", n),
				Units: 1, Charge: 1, Generation: 1, Granted: now, Renewed: now, Expires: now, Due: now,
			})
		}
		return tx.InsertLeases(t.Context(), leases)
	})
	if err != nil {
		t.Fatal(err)
	}
	check("2,000 leases")
}
