package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A UsageEvent is one consumption of units of a meter, identified by its id.
type UsageEvent struct {
	Env      licensing.Env
	License  licensing.LicenseID
	ID       string
	Meter    string
	Quantity int64
	Scale    int       // its decimal places
	At       time.Time // when the usage occurred
	Recorded time.Time
	Period   time.Time // start of the period in which it counts
	Call     string    // the server's id of the request that recorded it
}

// A UsageRefusal is an event that was not recorded, with the reason.
type UsageRefusal struct {
	EventKey
	Meter    string
	Call     string
	At       time.Time // when it was refused
	Decision license.Decision
}

// A MeterKey identifies a meter of one license.
type MeterKey struct {
	Env     licensing.Env
	License licensing.LicenseID
	Meter   string
}

// A UsageTotal is the usage of a meter in a period.
type UsageTotal struct {
	MeterKey
	Window licensing.Window
	Used   int64
	Scale  int // the decimal places of Used; -1 means those of the license's terms
	Events int64
	SoftAt time.Time        // when the soft limit was reached
	HardAt time.Time        // when the quota was spent
	Caller licensing.Caller // the last program that recorded usage
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

// An EventKey identifies a usage event.
type EventKey struct {
	Env     licensing.Env
	License licensing.LicenseID
	ID      string
}

// KnownEvents returns the events that have already been recorded, in their recorded form.
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

// PutRefusals stores events that were not recorded, at most one per key.
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
	shownEvents    = 1000 // enough for one request
)

// Events returns the recorded events with an id, for any license of an environment, a customer and
// a product. Empty customer and product match all.
func (tx *Tx) Events(ctx context.Context, env licensing.Env, id string, customer licensing.CustomerID, product licensing.ProductName) ([]UsageEvent, error) {
	return tx.events(ctx, `SELECT `+eventColumns+` FROM usage_event e`+tx.indexed("usage_event_id")+` CROSS JOIN license l
		WHERE e.env = $1 AND e.id = $2 AND l.env = e.env AND l.id = e.license
			AND ($3 = '' OR l.customer = $3) AND ($4 = '' OR l.product = $4) ORDER BY e.license LIMIT $5`, env, id, customer, product, shownEvents)
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

// Refusals returns the refused events with an id, for any license of an environment, latest first.
func (tx *Tx) Refusals(ctx context.Context, env licensing.Env, id string) ([]UsageRefusal, error) {
	return tx.refusals(ctx, `SELECT `+refusalColumns+` FROM usage_refusal WHERE env = $1 AND id = $2 ORDER BY at DESC, license LIMIT $3`, env, id, shownEvents)
}

// RefusalsOfCall returns the events of a request that were refused between two times.
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

// ForgetRefusals deletes up to limit refusals from before a time.
func (tx *Tx) ForgetRefusals(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM usage_refusal WHERE (env, license, id) IN
		(SELECT env, license, id FROM usage_refusal WHERE at < $1 ORDER BY at LIMIT $2)`, micros(before), limit)
}

// OpenTotal creates the total of a period without usage, and locks it until the commit. It returns
// false if the total already exists.
func (tx *Tx) OpenTotal(ctx context.Context, t UsageTotal) (bool, error) {
	n, err := tx.exec(ctx, `INSERT INTO usage_total (`+totalColumns+`) VALUES ($1, $2, $3, $4, $5, 0, 0, 0, 0, '', $6)
		ON CONFLICT (env, license, meter, period) DO NOTHING`, t.Env, t.License, t.Meter, micros(t.Window.Start), micros(t.Window.End), t.Scale)
	return n > 0, err
}

const totalColumns = `env, license, meter, period, ends_at, used, events, soft_at, hard_at, caller, scale`

// UsageTotals returns up to limit totals of a meter whose periods begin at or before a time, latest
// first, and locks them until the commit.
func (tx *Tx) UsageTotals(ctx context.Context, k MeterKey, at time.Time, limit int) ([]UsageTotal, error) {
	return tx.totals(ctx, `SELECT `+totalColumns+` FROM usage_total
		WHERE env = $1 AND license = $2 AND meter = $3 AND period <= $4 ORDER BY period DESC LIMIT $5`+tx.lock(),
		k.Env, k.License, k.Meter, micros(at), limit)
}

// UsageFilter selects totals for a list. Empty fields match every total.
type UsageFilter struct {
	Env      licensing.Env
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Product  licensing.ProductName
	Meter    string
	Since    time.Time // only periods that end later
	// AfterLicense, AfterMeter and AfterPeriod continue a list after a total.
	AfterLicense licensing.LicenseID
	AfterMeter   string
	AfterPeriod  time.Time
	Limit        int
}

// ListUsage returns totals sorted by license, meter and period.
func (tx *Tx) ListUsage(ctx context.Context, f UsageFilter) ([]UsageTotal, error) {
	c := &conditions{}
	from := "usage_total u"
	c.add("u.env = $%d", f.Env)
	c.add("(u.license, u.meter, u.period) > ($%d, $%d, $%d)", f.AfterLicense, f.AfterMeter, micros(f.AfterPeriod))
	c.add("(u.ends_at = 0 OR u.ends_at > $%d)", micros(f.Since))
	var joined equality
	if f.License != "" {
		c.add("u.license = $%d", f.License)
	} else {
		var err error
		if joined, err = tx.joined(ctx, f.Env, LicenseFilter{Customer: f.Customer, Product: f.Product}); err != nil {
			return nil, err
		}
	}
	if joined.index != "" {
		from = "license c" + tx.indexed(joined.index) + " CROSS JOIN usage_total u"
		c.add("c.env = $%d AND c."+joined.column+" = $%d AND c.id >= $%d AND u.env = c.env AND u.license = c.id", f.Env, joined.value, f.AfterLicense)
	}
	for _, e := range (LicenseFilter{Customer: f.Customer, Product: f.Product}).equalities() {
		if e != joined {
			c.add("(SELECT o."+e.column+" FROM license o WHERE o.env = u.env AND o.id = u.license) = $%d", e.value)
		}
	}
	if f.Meter != "" {
		c.add("u.meter = $%d", f.Meter)
	}
	text := `SELECT u.env, u.license, u.meter, u.period, u.ends_at, u.used, u.events, u.soft_at, u.hard_at, u.caller, u.scale
		FROM ` + from + ` WHERE ` + c.String()
	c.add("$%d", f.Limit)
	return tx.totals(ctx, fmt.Sprintf(`%s ORDER BY u.license, u.meter, u.period LIMIT $%d`, text, len(c.args)), c.args...)
}

// lock returns the suffix of a SELECT in a write transaction.
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

// A ScaledUsage is the highest usage of a meter in any period, among the totals with one scale. The
// scale is -1 for totals without a stored scale.
type ScaledUsage struct {
	Meter string
	Scale int
	Most  int64
}

// UsageScales returns the scales of a license's totals.
func (tx *Tx) UsageScales(ctx context.Context, env licensing.Env, id licensing.LicenseID) ([]ScaledUsage, error) {
	rows, err := tx.query(ctx, `SELECT meter, scale, MAX(used) FROM usage_total WHERE env = $1 AND license = $2
		GROUP BY meter, scale ORDER BY meter, scale`, env, id)
	return collect(rows, err, func(r Row) (s ScaledUsage, err error) {
		return s, r.Scan(&s.Meter, &s.Scale, &s.Most)
	})
}

// RescaleUsage multiplies a meter's totals at one scale to convert them to another. The amounts
// remain the same.
func (tx *Tx) RescaleUsage(ctx context.Context, k MeterKey, from, to int, times int64) error {
	_, err := tx.exec(ctx, `UPDATE usage_total SET used = used * $6, scale = $5
		WHERE env = $1 AND license = $2 AND meter = $3 AND scale = $4`, k.Env, k.License, k.Meter, from, to, times)
	return err
}

// NoteUsageScale stores a scale for those totals and events of a meter that have none.
func (tx *Tx) NoteUsageScale(ctx context.Context, k MeterKey, scale int) error {
	for _, table := range []string{"usage_total", "usage_event"} {
		if _, err := tx.exec(ctx, `UPDATE `+table+` SET scale = $4
			WHERE env = $1 AND license = $2 AND meter = $3 AND scale = -1`, k.Env, k.License, k.Meter, scale); err != nil {
			return err
		}
	}
	return nil
}

// ForgetEvents deletes up to limit events that were recorded before a time. Their totals remain.
func (tx *Tx) ForgetEvents(ctx context.Context, before time.Time, limit int) (int64, error) {
	return tx.exec(ctx, `DELETE FROM usage_event WHERE (env, license, id) IN
		(SELECT env, license, id FROM usage_event WHERE recorded < $1 ORDER BY recorded LIMIT $2)`, micros(before), limit)
}
