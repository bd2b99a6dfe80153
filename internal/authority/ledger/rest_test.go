package ledger

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

// TestATaskRestsUntilThereIsWork counts the runs of a task on a database without other servers.
func TestATaskRestsUntilThereIsWork(t *testing.T) {
	db := storetest.SQLite(t)
	synctest.Test(t, func(t *testing.T) {
		db.Now = time.Now
		l := New(Config{DB: db, Ring: signing.NewRing(nil), Machine: Machine{Up: func() time.Duration { return 0 }}})
		db.Judge = nil
		ctx, stop := context.WithCancel(t.Context())
		var runs atomic.Int32
		due := time.Now().Add(time.Hour)
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.WhenDue(ctx, time.Second, "test", func(context.Context) (time.Time, error) {
				runs.Add(1)
				return due, nil
			})
		}()
		after := func(d time.Duration, want int32, what string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if runs := runs.Load(); runs != want {
				t.Errorf("%s: %d runs, want %d", what, runs, want)
			}
		}
		after(30*time.Minute+500*time.Millisecond, 1, "nothing is due")
		if err := db.Update(t.Context(), func(*store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		after(10*time.Minute, 2, "a transaction wrote")
		after(20*time.Minute, 3, "work is due") // at the hour
		stop()
		<-done
	})
}
