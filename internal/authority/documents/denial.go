package documents

import (
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// MaxDenied is how many denials of one license are recorded separately in a minute. Further denials
// are counted without a holder. A caller can invent any number of names, but a log entry is
// permanent.
const MaxDenied = 200

// denials are the denials that were recorded separately in the current minute. They are safe for
// concurrent use.
type denials struct {
	mu     sync.Mutex
	minute time.Time
	told   map[store.LicenseRef]map[string]bool
}

// TellApart reports whether a denial gets its own row.
func (d *denials) TellApart(k store.LicenseRef, minute time.Time, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !minute.Equal(d.minute) {
		d.minute, d.told = minute, make(map[store.LicenseRef]map[string]bool)
	}
	told := d.told[k]
	switch {
	case told[name]:
		return true
	case len(told) >= MaxDenied:
		return false
	case told == nil:
		told = make(map[string]bool)
		d.told[k] = told
	}
	told[name] = true
	return true
}

// ForgetPage is how many rows are deleted or counted at once.
const ForgetPage = 500

// CountDenials records one event for each pool, code and minute that has ended. The same
// transaction marks the denials as recorded. A restart therefore loses none, and two servers record
// none twice.
func (docs *Documents) CountDenials(ctx context.Context) error {
	for {
		n := 0
		err := docs.ledger.View(ctx, func(tx *store.Tx) error {
			rows, err := tx.UncountedDenials(ctx, tx.Now().Truncate(time.Minute), 1)
			n = len(rows)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
		err = docs.ledger.Update(ctx, "", ledger.SystemActor, func(tx *ledger.Tx) error {
			rows, err := tx.UncountedDenials(ctx, tx.Now().Truncate(time.Minute), ForgetPage)
			if err != nil {
				return err
			}
			if n = len(rows); n == 0 {
				return nil
			}
			if err := RecordCounts(tx, rows); err != nil {
				return err
			}
			return tx.CountDenials(ctx, rows)
		})
		if err != nil || n < ForgetPage {
			return err
		}
	}
}

// RecordCounts records how many denials followed the first ones.
func RecordCounts(tx *ledger.Tx, rows []store.Denial) error {
	type key struct {
		store.PoolKey
		code   string
		minute int64
	}
	var order []key
	times := map[key]int64{}
	for _, d := range rows {
		k := key{d.PoolKey, d.Code, d.Minute.Unix()}
		if times[k] == 0 {
			order = append(order, k)
		}
		times[k] += d.Times
	}
	for _, k := range order {
		e, err := licensing.NewEvent(licensing.DenialsCounted, k.Env, tx.Now(), ledger.SystemActor, entry.Count{Code: k.code, Minute: k.minute, Times: times[k]})
		if err != nil {
			return err
		}
		e.License, e.Pool = k.License, k.Name
		if _, err := tx.Record(e); err != nil {
			return err
		}
	}
	return nil
}
