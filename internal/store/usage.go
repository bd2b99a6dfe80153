package store

import (
	"context"
	"encoding/json"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A UsageEvent is units of a meter consumed once, told by its id.
type UsageEvent struct {
	Env      licensing.Env
	License  licensing.LicenseID
	ID       string
	Meter    string
	Quantity int64
	Scale    int       // its decimal places
	At       time.Time // when it was used
	Recorded time.Time
	Period   time.Time // start of the period it counts in
	Call     string    // the server's own id of the request that recorded it
}

// A UsageRefusal is an event that was not recorded, and why.
type UsageRefusal struct {
	EventKey
	Meter    string
	Call     string
	At       time.Time // when it was refused
	Decision license.Decision
}

// A MeterKey names a meter of one license.
type MeterKey struct {
	Env     licensing.Env
	License licensing.LicenseID
	Meter   string
}

// A UsageTotal is what was used of a meter in a period.
type UsageTotal struct {
	MeterKey
	Window licensing.Window
	Used   int64
	Scale  int // the decimal places of Used; -1 are those of the license's terms
	Events int64
	SoftAt time.Time        // when the soft limit was reached
	HardAt time.Time        // when the quota was spent
	Caller licensing.Caller // what recorded last
}

var (
	knownEvents = newMultirow(`SELECT `+eventColumns+` FROM (VALUES `, 3, "ttt", `) v
		CROSS JOIN usage_event e WHERE e.env = v.column1 AND e.license = v.column2 AND e.id = v.column3`)
	insertEvents = newMultirow(`INSERT INTO usage_event (env, license, id, meter, quantity, at, recorded, period, scale, call) VALUES `, 10, "", ``)
	putRefusals  = newMultirow(`INSERT INTO usage_refusal (env, license, id, meter, call, at, decision) VALUES `, 7, "",
		` ON CONFLICT (env, id, license) DO UPDATE SET meter = excluded.meter, call = excluded.call, at = excluded.at, decision = excluded.decision`)
	putTotals = newMultirow(`INSERT INTO usage_total (env, license, meter, period, ends_at, used, events, soft_at, hard_at, caller, scale) VALUES `, 11, "",
		` ON CONFLICT (env, license, meter, period) DO UPDATE SET ends_at = excluded.ends_at, used = excluded.used,
		events = excluded.events, soft_at = excluded.soft_at, hard_at = excluded.hard_at, caller = excluded.caller, scale = excluded.scale`)
)

// An EventKey names a usage event.
type EventKey struct {
	Env     licensing.Env
	License licensing.LicenseID
	ID      string
}

// KnownEvents returns those of the events that are recorded already, as they were
// recorded.
func (tx *Tx) KnownEvents(ctx context.Context, keys []EventKey) (map[EventKey]UsageEvent, error) {
	args := make([]any, 0, 3*len(keys))
	for _, k := range keys {
		args = append(args, k.Env, k.License, k.ID)
	}
	known := map[EventKey]UsageEvent{}
	err := tx.queryMany(ctx, &knownEvents, args, func(rows Row) error {
		e, err := scanEvent(rows)
		known[EventKey{e.Env, e.License, e.ID}] = e
		return err
	})
	return known, err
}

// InsertEvents stores new events.
func (tx *Tx) InsertEvents(ctx context.Context, events []UsageEvent) error {
	args := make([]any, 0, 10*len(events))
	for _, e := range events {
		args = append(args, e.Env, e.License, e.ID, e.Meter, e.Quantity, micros(e.At), micros(e.Recorded), micros(e.Period), e.Scale, e.Call)
	}
	return tx.putMany(ctx, &insertEvents, args)
}

// PutRefusals stores what became of events that were not recorded, each event there once.
func (tx *Tx) PutRefusals(ctx context.Context, refusals []UsageRefusal) error {
	args := make([]any, 0, 7*len(refusals))
	for _, r := range refusals {
		decision, err := json.Marshal(r.Decision)
		if err != nil {
			return err
		}
		args = append(args, r.Env, r.License, r.ID, r.Meter, r.Call, micros(r.At), string(decision))
	}
	return tx.putMany(ctx, &putRefusals, args)
}

const (
	eventColumns   = `e.env, e.license, e.id, e.meter, e.quantity, e.scale, e.at, e.recorded, e.period, e.call`
	refusalColumns = `env, license, id, meter, call, at, decision`
	shownEvents    = 1000 // all of one request
)

// Events returns the recorded events of an id, of any license of an environment, a
// customer and a product; both are empty for all.
func (tx *Tx) Events(ctx context.Context, env licensing.Env, id string, customer licensing.CustomerID, product licensing.ProductName) ([]UsageEvent, error) {
	return tx.events(ctx, `SELECT `+eventColumns+` FROM license l CROSS JOIN usage_event e
		WHERE l.env = $1 AND ($3 = '' OR l.customer = $3) AND ($4 = '' OR l.product = $4)
			AND e.env = l.env AND e.license = l.id AND e.id = $2 ORDER BY e.license LIMIT $5`, env, id, customer, product, shownEvents)
}

// EventsOfCall returns the events that a request recorded between two times.
func (tx *Tx) EventsOfCall(ctx context.Context, env licensing.Env, call string, from, before time.Time) ([]UsageEvent, error) {
	return tx.events(ctx, `SELECT `+eventColumns+` FROM usage_event e
		WHERE e.recorded >= $1 AND e.recorded < $2 AND e.env = $3 AND e.call = $4 ORDER BY e.license, e.id LIMIT $5`,
		micros(from), micros(before), env, call, shownEvents)
}

func (tx *Tx) events(ctx context.Context, text string, args ...any) ([]UsageEvent, error) {
	rows, err := tx.query(ctx, text, args...)
	return collect(rows, err, scanEvent)
}

func scanEvent(r Row) (e UsageEvent, err error) {
	var at, recorded, period int64
	err = r.Scan(&e.Env, &e.License, &e.ID, &e.Meter, &e.Quantity, &e.Scale, &at, &recorded, &period, &e.Call)
	e.At, e.Recorded, e.Period = instant(at), instant(recorded), instant(period)
	return e, err
}

// Refusals returns the refused events of an id, of any license of an environment, the
// latest first.
func (tx *Tx) Refusals(ctx context.Context, env licensing.Env, id string) ([]UsageRefusal, error) {
	return tx.refusals(ctx, `SELECT `+refusalColumns+` FROM usage_refusal WHERE env = $1 AND id = $2 ORDER BY at DESC, license LIMIT $3`, env, id, shownEvents)
}

// RefusalsOfCall returns the events that a request had refused between two times.
func (tx *Tx) RefusalsOfCall(ctx context.Context, env licensing.Env, call string, from, before time.Time) ([]UsageRefusal, error) {
	return tx.refusals(ctx, `SELECT `+refusalColumns+` FROM usage_refusal
		WHERE at >= $1 AND at < $2 AND env = $3 AND call = $4 ORDER BY license, id LIMIT $5`,
		micros(from), micros(before), env, call, shownEvents)
}

func (tx *Tx) refusals(ctx context.Context, text string, args ...any) ([]UsageRefusal, error) {
	rows, err := tx.query(ctx, text, args...)
	return collect(rows, err, func(r Row) (f UsageRefusal, err error) {
		var at int64
		var decision string
		if err := r.Scan(&f.Env, &f.License, &f.ID, &f.Meter, &f.Call, &at, &decision); err != nil {
			return f, err
		}
		f.At = instant(at)
		return f, json.Unmarshal([]byte(decision), &f.Decision)
	})
}

// ForgetRefusals deletes refusals before a time, at most limit.
func (tx *Tx) ForgetRefusals(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM usage_refusal WHERE (env, license, id) IN
		(SELECT env, license, id FROM usage_refusal WHERE at < $1 ORDER BY at LIMIT $2)`, micros(before), limit)
}

// OpenTotal makes the total of a period in which nothing was used yet, which
// stays locked until the commit. It reports false when there is one by now.
func (tx *Tx) OpenTotal(ctx context.Context, t UsageTotal) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO usage_total (`+totalColumns+`) VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, '', $6)
		ON CONFLICT (env, license, meter, period) DO NOTHING`, t.Env, t.License, t.Meter, micros(t.Window.Start), micros(t.Window.End), t.Scale)
	return n > 0, err
}

const totalColumns = `env, license, meter, period, ends_at, used, events, soft_at, hard_at, caller, scale`

// UsageTotals returns the totals of a meter whose periods begin at or before a
// time, the latest first, at most limit, and locks them until the commit.
func (tx *Tx) UsageTotals(ctx context.Context, k MeterKey, at time.Time, limit int) ([]UsageTotal, error) {
	return tx.totals(ctx, `SELECT `+totalColumns+` FROM usage_total
		WHERE env = $1 AND license = $2 AND meter = $3 AND period <= $4 ORDER BY period DESC LIMIT $5`+tx.lock(),
		k.Env, k.License, k.Meter, micros(at), limit)
}

// UsageFilter selects totals for a list; empty fields select all.
type UsageFilter struct {
	Env      licensing.Env
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Product  licensing.ProductName
	Meter    string
	Since    time.Time // only of periods that end later
	// AfterLicense, AfterMeter and AfterPeriod continue a list after a total.
	AfterLicense licensing.LicenseID
	AfterMeter   string
	AfterPeriod  time.Time
	Limit        int
}

// ListUsage returns totals by license, meter and period.
func (tx *Tx) ListUsage(ctx context.Context, f UsageFilter) ([]UsageTotal, error) {
	return tx.totals(ctx, `SELECT `+totalColumns+` FROM usage_total
		WHERE env = $1 AND ($2 = '' OR license = $2) AND ($3 = '' OR meter = $3) AND (ends_at = 0 OR ends_at > $4)
		AND (license, meter, period) > ($5, $6, $7)
		AND ($8 = '' OR license IN (SELECT id FROM license WHERE env = $1 AND customer = $8))
		AND ($9 = '' OR license IN (SELECT id FROM license WHERE env = $1 AND product = $9))
		ORDER BY license, meter, period LIMIT $10`,
		f.Env, f.License, f.Meter, micros(f.Since), f.AfterLicense, f.AfterMeter, micros(f.AfterPeriod), f.Customer, f.Product, f.Limit)
}

// lock ends a SELECT of a transaction that writes.
func (tx *Tx) lock() string {
	if !tx.writes {
		return ""
	}
	return tx.db.engine.ForUpdate
}

func (tx *Tx) totals(ctx context.Context, text string, args ...any) ([]UsageTotal, error) {
	rows, err := tx.query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	var totals []UsageTotal
	err = each(rows, func(rows Row) error {
		var t UsageTotal
		var start, end, soft, hard int64
		var caller string
		if err := rows.Scan(&t.Env, &t.License, &t.Meter, &start, &end, &t.Used, &t.Events, &soft, &hard, &caller, &t.Scale); err != nil {
			return err
		}
		t.Window = licensing.Window{Start: instant(start), End: instant(end)}
		t.SoftAt, t.HardAt = instant(soft), instant(hard)
		t.Caller, err = decodeCaller(caller)
		totals = append(totals, t)
		return err
	})
	return totals, err
}

// PutTotals stores totals.
func (tx *Tx) PutTotals(ctx context.Context, totals []*UsageTotal) error {
	args := make([]any, 0, 11*len(totals))
	for _, t := range totals {
		caller, err := encodeCaller(t.Caller)
		if err != nil {
			return err
		}
		args = append(args, t.Env, t.License, t.Meter, micros(t.Window.Start), micros(t.Window.End), t.Used, t.Events, micros(t.SoftAt), micros(t.HardAt), caller, t.Scale)
	}
	return tx.putMany(ctx, &putTotals, args)
}

// A ScaledUsage is the most that was used of a meter in a period, of the totals
// counted at a scale, which is -1 where they do not say.
type ScaledUsage struct {
	Meter string
	Scale int
	Most  int64
}

// UsageScales returns at which scales a license's totals are counted.
func (tx *Tx) UsageScales(ctx context.Context, env licensing.Env, id licensing.LicenseID) ([]ScaledUsage, error) {
	rows, err := tx.query(ctx, `SELECT meter, scale, MAX(used) FROM usage_total WHERE env = $1 AND license = $2
		GROUP BY meter, scale ORDER BY meter, scale`, env, id)
	return collect(rows, err, func(r Row) (s ScaledUsage, err error) {
		return s, r.Scan(&s.Meter, &s.Scale, &s.Most)
	})
}

// RescaleUsage multiplies a meter's totals that are counted at one scale, so that
// they are at another. What they count stays.
func (tx *Tx) RescaleUsage(ctx context.Context, k MeterKey, from, to int, times int64) error {
	_, err := tx.exec(ctx, `UPDATE usage_total SET used = used * $6, scale = $5
		WHERE env = $1 AND license = $2 AND meter = $3 AND scale = $4`, k.Env, k.License, k.Meter, from, to, times)
	return err
}

// NoteUsageScale has totals and events of a meter that do not say their scale say it.
func (tx *Tx) NoteUsageScale(ctx context.Context, k MeterKey, scale int) error {
	for _, table := range []string{"usage_total", "usage_event"} {
		if _, err := tx.exec(ctx, `UPDATE `+table+` SET scale = $4
			WHERE env = $1 AND license = $2 AND meter = $3 AND scale = -1`, k.Env, k.License, k.Meter, scale); err != nil {
			return err
		}
	}
	return nil
}

// ForgetEvents deletes events recorded before a time, at most limit. Their
// totals stay.
func (tx *Tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM usage_event WHERE (env, license, id) IN
		(SELECT env, license, id FROM usage_event WHERE recorded < $1 ORDER BY recorded LIMIT $2)`, micros(before), limit)
}
