package jobs

import (
	"context"
	"errors"
	"testing"

	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestAJobGoesOnAtItsStoredPosition lets the database fail after a job has stored its position. The
// next attempt must begin there, and not where the job was when the server first read it.
func TestAJobGoesOnAtItsStoredPosition(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := ledger.New(ledger.Config{DB: db, Ring: signing.NewRing(nil)})
		j := New(l, nil)
		job := store.Job{ID: "job_1", Kind: "test", Status: licensing.JobQueued, Caller: "{}", Created: l.Now()}
		if err := db.Update(t.Context(), func(tx *store.Tx) error { return tx.InsertJob(t.Context(), job) }); err != nil {
			t.Fatal(err)
		}
		var begun []string
		j.kinds["test"] = kind{run: func(ctx context.Context, r *run) error {
			begun = append(begun, r.job.Position)
			if len(begun) == 2 {
				return errLost
			}
			err := r.step(ctx, func(_ *ledger.Tx, job *store.Job) error {
				job.Position = "further"
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			return licensing.Errorf(licensing.OutcomeUnknown, "the database failed")
		}}
		j.finish(t.Context(), job)
		if len(begun) != 2 || begun[0] != "" || begun[1] != "further" {
			t.Errorf("the attempts began at %q", begun)
		}
	})
}

// TestOnlyOneRunOfAJobCountsItsChecks lets two runs check the same items, as after a pause that was
// longer than a claim. Only the first one may store what it found.
func TestOnlyOneRunOfAJobCountsItsChecks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := ledger.New(ledger.Config{DB: db, Ring: signing.NewRing(nil)})
		j := New(l, nil)
		job := store.Job{ID: "job_1", Kind: "test", Status: licensing.JobQueued, Caller: "{}", Created: l.Now(), DryRun: true}
		err := l.Update(t.Context(), "", "test", func(tx *ledger.Tx) error {
			if err := add(t.Context(), tx, &job, make([]storedItem, 3)); err != nil {
				return err
			}
			return tx.InsertJob(t.Context(), job)
		})
		if err != nil {
			t.Fatal(err)
		}
		for n, want := range []error{nil, errLost} {
			r := &run{jobs: j, job: job}
			w := work{next: r.stored, do: func(context.Context, *ledger.Tx, item, *v1.JobResult) error { return nil }}
			if _, _, err := r.check(t.Context(), w, position{Phase: phaseCheck}); !errors.Is(err, want) {
				t.Errorf("run %d: %v, want %v", n, err, want)
			}
		}
		err = db.View(t.Context(), func(tx *store.Tx) error {
			now, _, err := tx.Job(t.Context(), "", job.ID)
			if now.Done != 3 || now.Total != 3 {
				t.Errorf("%d of %d items were counted", now.Done, now.Total)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}
