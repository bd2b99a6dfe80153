package recovery

import (
	"context"
	"fmt"
	"io"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// A Repair is the result of repairing a database's counters, or of planning the repair.
type Repair struct {
	At      time.Time    `json:"at"`
	Applied bool         `json:"applied"`
	Pools   int64        `json:"pools"`  // pools compared
	Totals  int64        `json:"totals"` // meter totals compared, one per period
	Fixes   []CounterFix `json:"fixes"`  // one for each counter that differs from its rows
}

// A CounterFix is the result for one counter.
type CounterFix struct {
	Env     licensing.Env       `json:"environment"`
	License licensing.LicenseID `json:"license"`
	Pool    string              `json:"pool,omitempty"`
	Meter   string              `json:"meter,omitempty"`
	Period  time.Time           `json:"period,omitzero"` // begin of the meter's period
	audit.Fix
}

// Changes returns how many counters a repair changes.
func (r Repair) Changes() (n int) {
	for _, f := range r.Fixes {
		if changes(f.Fix) {
			n++
		}
	}
	return n
}

// Left returns how many counters remain unchanged although they differ from their rows.
func (r Repair) Left() int { return len(r.Fixes) - r.Changes() }

func changes(f audit.Fix) bool { return f.Action == audit.Raise || f.Action == audit.Lower }

// PlanRepair compares the counters of every environment with their rows and returns the planned
// repair. It changes nothing. Config needs DB and Ring.
func PlanRepair(ctx context.Context, c ledger.Config) (Repair, error) {
	rec := opened(c)
	defer rec.granting.Close()
	return rec.planRepair(ctx)
}

func (r *Recovery) planRepair(ctx context.Context) (Repair, error) {
	if err := r.ledger.ReadClock(ctx); err != nil {
		return Repair{}, fmt.Errorf("judging the clock: %w", err)
	}
	var plan repairing
	err := r.ledger.View(ctx, func(tx *store.Tx) error {
		plan = repairing{recovery: r, ctx: ctx, Tx: r.ledger.NewTx(tx, "")}
		return plan.plan()
	})
	return plan.result, err
}

// ApplyRepair carries out the repair that PlanRepair returns. No server may run on the database.
// Before the first change, it calls backup, which must call write with the destination of a backup.
// If there is nothing to change, it does not call backup. ApplyRepair changes only counters,
// deletes nothing, and records each change in the log of its environment. Config needs DB, Ring and
// Dir.
func ApplyRepair(ctx context.Context, c ledger.Config, backup func(write func(io.Writer) error) error) (Repair, error) {
	rec := opened(c)
	defer rec.granting.Close()
	planned, err := rec.planRepair(ctx)
	if err != nil || planned.Changes() == 0 {
		return planned, err
	}
	if err := rec.ledger.Start(ctx); err != nil { // assigns positions to waiting rows first
		return Repair{}, err
	}
	operator := access.System("", "repair")
	err = backup(func(w io.Writer) error {
		_, err := rec.Backup(ctx, operator, w)
		return err
	})
	if err != nil {
		return Repair{}, err
	}
	var r repairing
	err = rec.ledger.Update(ctx, "", operator.Actor, func(tx *ledger.Tx) error {
		r = repairing{recovery: rec, ctx: ctx, Tx: tx}
		return r.apply()
	})
	if err != nil {
		return Repair{}, err
	}
	if err := rec.ledger.Sequence(ctx); err != nil {
		return r.result, err
	}
	return r.result, rec.ledger.Witness.Save(rec.ledger.Heads())
}

// A repairing is a repair in one transaction.
type repairing struct {
	*ledger.Tx
	recovery *Recovery
	ctx      context.Context
	result   Repair
	locked   map[store.PoolKey]*store.Pool
}

// A miscount is the planned repair of one pool or total.
type miscount struct {
	*audit.Miscount
	env     licensing.Env
	license licensing.LicenseID
	terms   *granting.Compiled // nil if the license no longer exists
	fixes   []audit.Fix
}

// plan plans the repair of every environment.
func (r *repairing) plan() error {
	r.result = Repair{At: r.Now(), Fixes: []CounterFix{}}
	envs, err := r.begin()
	if err != nil {
		return err
	}
	for _, env := range envs {
		if _, err := r.weigh(env); err != nil {
			return err
		}
	}
	return nil
}

// begin reads which environments may have lost leases. No repair may ignore them.
func (r *repairing) begin() ([]licensing.Env, error) {
	list, err := r.Fences(r.ctx)
	if err != nil {
		return nil, err
	}
	fences := make(map[licensing.Env]ledger.Fence, len(list))
	for _, row := range list {
		if row.Since.IsZero() { // it begins at the first start
			row.Since = r.Now()
		}
		if fences[row.Env], err = ledger.FenceOf(r.ctx, r.Tx.Tx, row, ledger.Fence{}); err != nil {
			return nil, err
		}
	}
	r.recovery.ledger.Fences.Store(&fences)
	return r.KeyEnvs(r.ctx)
}

// weigh finds an environment's wrong counters and decides about each.
func (r *repairing) weigh(env licensing.Env) ([]miscount, error) {
	found, err := ledger.Reconcile(r.ctx, r.Tx.Tx, env, r.documentsEnd(env))
	if err != nil {
		return nil, err
	}
	r.result.Pools += found.Pools
	r.result.Totals += found.Totals
	all := make([]miscount, len(found.Miscounts))
	for i, m := range found.Miscounts {
		one := miscount{Miscount: m, env: env}
		as := CounterFix{Env: env}
		if m.Pool != nil {
			one.license, as.Pool = m.Pool.License, m.Pool.Pool
		} else {
			one.license, as.Meter, as.Period = m.Meter.License, m.Meter.Meter, m.Meter.Start
		}
		terms, err := r.recovery.granting.Terms(r.ctx, r.Tx.Tx, []store.LicenseRef{{Env: env, ID: one.license}})
		if err != nil {
			return nil, err
		}
		one.terms = terms[store.LicenseRef{Env: env, ID: one.license}]
		one.fixes = m.Fixes(r.Now(), r.recovery.ledger.Skew, r.unsure(one))
		for _, f := range one.fixes {
			as.License, as.Fix = one.license, f
			r.result.Fixes = append(r.result.Fixes, as)
		}
		all[i] = one
	}
	return all, nil
}

// unsure returns why no counter of a pool can be lowered now, whatever its rows contain.
func (r *repairing) unsure(m miscount) string {
	if m.Pool == nil {
		return ""
	}
	if r.recovery.ledger.Clock.Doubt() {
		return "the clock is in doubt: see copyhold clock show"
	}
	// A license that no longer exists is fenced as long as any pool is.
	until := r.recovery.ledger.FenceIn(m.env).Last(r.recovery.ledger.Skew)
	if m.terms != nil {
		until = r.recovery.ledger.FenceIn(m.env).Until(&m.terms.Terms, m.Pool.Pool, r.recovery.ledger.Skew)
	}
	if r.Now().Before(until) {
		return "leases that the database has lost may be in use: wait until its fence ends"
	}
	return ""
}

// documentsEnd considers every rule that a pool has or had. Documents may have been signed under
// any of them.
func (r *repairing) documentsEnd(env licensing.Env) ledger.DocumentsEnd {
	known := map[store.PoolKey][]pooled{}
	return func(id licensing.LicenseID, pool string, ended time.Time) (end time.Time, ok bool, err error) {
		k := store.PoolKey{Env: env, License: id, Name: pool}
		rules, ok := known[k]
		if !ok {
			if rules, err = r.rules(k); err != nil {
				return end, false, err
			}
			known[k] = rules
		}
		for _, p := range rules {
			if at := ended.Add(p.rule.Longest(p.documents).Duration()); at.After(end) {
				end = at
			}
		}
		return end, len(rules) > 0, nil
	}
}

// pooled is a pool's rule with the dates of its documents.
type pooled struct {
	rule      licensing.Pool
	documents licensing.Documents
}

// rules returns the rules of a pool in the current terms and in every revision of the license's
// plan.
func (r *repairing) rules(k store.PoolKey) (all []pooled, err error) {
	l, ok, err := r.License(r.ctx, k.Env, k.License)
	if err != nil || !ok {
		return nil, err
	}
	terms, err := r.recovery.granting.Terms(r.ctx, r.Tx.Tx, []store.LicenseRef{{Env: k.Env, ID: k.License}})
	if err != nil {
		return nil, err
	}
	if t := terms[store.LicenseRef{Env: k.Env, ID: k.License}]; t != nil {
		if rule, planned := t.Pools[k.Name]; planned {
			all = append(all, pooled{rule, t.Documents})
		}
	}
	revisions, err := r.Revisions(r.ctx, k.Env, l.Plan)
	for _, rev := range revisions {
		if rule, planned := rev.Plan.Pools[k.Name]; planned {
			all = append(all, pooled{rule, rev.Plan.Documents})
		}
	}
	return all, err
}

// apply locks the wrong pools, decides again and makes the changes that are possible.
func (r *repairing) apply() error {
	r.result = Repair{At: r.Now(), Fixes: []CounterFix{}}
	envs, err := r.begin()
	if err != nil {
		return err
	}
	for _, env := range envs {
		if err := r.lock(env); err != nil {
			return err
		}
		wrong, err := r.weigh(env)
		if err != nil {
			return err
		}
		for _, m := range wrong {
			if err := r.fix(m); err != nil {
				return err
			}
		}
	}
	r.result.Applied = r.result.Changes() > 0
	return nil
}

// lock prevents changes to the wrong pools, so that the repair is based on their final state.
func (r *repairing) lock(env licensing.Env) error {
	var keys []store.PoolKey
	err := r.PoolCounts(r.ctx, env, func(p licensing.PoolCount) error {
		if len(p.Wrong(r.Now())) > 0 {
			keys = append(keys, store.PoolKey{Env: env, License: p.License, Name: p.Pool})
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return err
	}
	rows, _, err := r.LockPools(r.ctx, keys, nil, true)
	if err != nil {
		return err
	}
	if r.locked == nil {
		r.locked = map[store.PoolKey]*store.Pool{}
	}
	for i := range rows {
		r.locked[rows[i].PoolKey] = &rows[i]
	}
	return nil
}

// fix stores and records the decision about a pool or a total.
func (r *repairing) fix(m miscount) error {
	var done []audit.Fix
	for _, f := range m.fixes {
		if changes(f) {
			done = append(done, f)
		}
	}
	if len(done) == 0 {
		return nil
	}
	about := licensing.Event{Env: m.env, License: m.license}
	if m.terms != nil {
		about.Product, about.Customer = m.terms.Product, m.terms.Customer
	}
	data := entry.Repair{}
	for _, f := range done {
		data.Counters = append(data.Counters, entry.Counter{Name: f.Name, From: f.Stored, To: f.To, Action: string(f.Action)})
	}
	if m.Pool != nil {
		about.Pool = m.Pool.Pool
		if err := r.fixPool(m, done); err != nil {
			return err
		}
		return r.Note(licensing.CountersFixed, about, data)
	}
	about.Meter, data.From = m.Meter.Meter, granting.UnixOf(m.Meter.Start)
	if err := r.fixTotal(m, done); err != nil {
		return err
	}
	return r.Note(licensing.CountersFixed, about, data)
}

func (r *repairing) fixPool(m miscount, fixes []audit.Fix) error {
	row := r.locked[store.PoolKey{Env: m.env, License: m.license, Name: m.Pool.Pool}]
	if row == nil {
		return licensing.Errorf(licensing.Conflict, "pool %s of %s has changed during the repair: stop all servers on this database, then retry", m.Pool.Pool, m.license)
	}
	for _, f := range fixes {
		switch f.Name {
		case licensing.CounterHeld:
			row.Held = f.To
		case licensing.CounterLeases:
			row.Leases = f.To
		case licensing.CounterWaiting:
			row.Waiting = f.To
		case licensing.CounterTickets:
			row.Tickets = f.To
		case licensing.CounterDue:
			row.Due = time.UnixMicro(f.To)
		}
	}
	if row.Waiting > 0 {
		row.Due = r.Now() // a waiter may be next
	}
	p := granting.Pool{Pool: *row, Terms: m.terms}
	if m.terms != nil {
		p.Rule = m.terms.Pools[row.Name]
	}
	p.Judge(r.Now()) // an overdraft begins or ends with the units in use
	return r.PutPools(r.ctx, []*store.Pool{&p.Pool})
}

func (r *repairing) fixTotal(m miscount, fixes []audit.Fix) error {
	total := store.UsageTotal{
		MeterKey: store.MeterKey{Env: m.env, License: m.license, Meter: m.Meter.Meter},
		Window:   licensing.Window{Start: m.Meter.Start}, Scale: m.Meter.Scale,
	}
	if m.Logged.Until > 0 {
		total.Window.End = time.Unix(m.Logged.Until, 0)
	}
	kept, err := r.UsageTotals(r.ctx, total.MeterKey, m.Meter.Start, 1)
	if err != nil {
		return err
	}
	if m.Meter.Kept && len(kept) == 1 {
		total = kept[0]
	}
	for _, f := range fixes {
		switch f.Name {
		case licensing.CounterUsed:
			total.Used = f.To
		case licensing.CounterEvents:
			total.Events = f.To
		}
	}
	return r.PutTotals(r.ctx, []*store.UsageTotal{&total})
}
