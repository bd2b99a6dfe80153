package store_test

import (
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

// TestATransactionHasTheDatabasesTime checks that a transaction uses the last reading without
// waiting for another, and runs again if that reading was wrong.
func TestATransactionHasTheDatabasesTime(t *testing.T) {
	db := storetest.Postgres(t)
	clock := db.Clock()
	slow := false // a slow answer looks like a clock that has moved
	judge := func(began time.Time) { slow = slow || time.Since(began) > store.ReadingOff/4 }
	now := func() (at time.Time, tries int) {
		t.Helper()
		defer judge(time.Now())
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			tries++
			at = tx.Now()
			_, err := tx.Pool(t.Context(), store.PoolKey{}) // the clock's answer arrives with this one
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return at, tries
	}
	first, _ := now()
	second, _ := now()
	if second.Before(first) { // both are based on readings, and one took longer than the other
		t.Errorf("%v, and then %v", first, second)
	}
	db.SetClock(strings.Replace(clock, "* 1000000", "* 1000000 + 3600000000", 1)) // a failover to a machine an hour ahead
	const hour = time.Hour - time.Minute                                          // for the same reason
	began := time.Now()
	if ahead, tries := now(); ahead.Sub(second) < hour || ahead.Sub(second) > time.Hour+time.Minute+time.Since(began) || tries != 2 && !slow {
		t.Errorf("the database's clock advanced by an hour, the transaction's by %v in %d tries", ahead.Sub(second), tries)
	}
	db.SetClock(clock) // and back, in a transaction that sends no query
	tries := 0
	began = time.Now()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		tries++
		return tx.InsertLeases(t.Context(), []*licensing.Lease{{Env: "test", ID: "lse_1", License: "lic_a", Pool: "seats", Holder: "ada", Units: 1, Generation: 1}})
	})
	judge(began)
	if err != nil || tries != 2 && !slow {
		t.Errorf("writing blindly: %v, in %d tries", err, tries)
	}
	if again, tries := now(); again.Sub(second) < hour || tries != 1 && !slow {
		t.Errorf("after that by %v, in %d tries", again.Sub(second), tries)
	}
}
