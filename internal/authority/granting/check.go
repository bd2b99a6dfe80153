package granting

import (
	"cmp"
	"context"
	"slices"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A CheckRequest asks what would be decided. It names exactly one of Feature, Pool and Meter.
type CheckRequest struct {
	Feature  string
	Pool     string
	Meter    string
	Units    int64          // of a pool; 0 means 1
	Quantity string         // of a meter; empty means 1
	Holder   request.Holder // of a pool; its existing leases count
	Nonce    string
	Caller   licensing.Caller // its Instance is that of Holder
}

// Checked is a decision that changed nothing. Reply is the signed decision, if the request had a
// nonce.
type Checked struct {
	Decision license.Decision
	Reply    string
}

// Check returns what would be decided now, and changes nothing. Errors of an acquire, such as
// Unavailable behind a fence, are also errors of Check.
func (g *Granting) Check(ctx context.Context, p access.Principal, q CheckRequest) (Checked, error) {
	if named := Btoi(q.Feature != "") + Btoi(q.Pool != "") + Btoi(q.Meter != ""); named != 1 {
		return Checked{}, licensing.Errorf(licensing.Invalid, "the request must name exactly one of feature, pool and meter")
	}
	if q.Units < 0 || q.Units > licensing.MaxUnits {
		return Checked{}, licensing.Errorf(licensing.Invalid, "units must be between 1 and %[2]d, not %[1]d", q.Units, licensing.MaxUnits).At("units")
	}
	if err := request.CheckNames(request.Text{Field: "feature", Value: q.Feature}, request.Text{Field: "pool", Value: q.Pool}, request.Text{Field: "meter", Value: q.Meter}); err != nil {
		return Checked{}, err
	}
	if err := request.CheckHolder(q.Holder.Kind, q.Holder.ID, q.Holder.Components); err != nil {
		return Checked{}, err
	}
	if err := request.CheckCaller(q.Caller); err != nil {
		return Checked{}, err
	}
	if err := documents.CheckNonce(q.Nonce); err != nil {
		return Checked{}, err
	}
	g.documents.Seen.Note(store.LicenseRef{Env: p.Env, ID: p.License}, q.Caller, g.ledger.DB.Latest())
	var c Checked
	var t *Compiled
	var now time.Time
	err := g.ledger.View(ctx, func(tx *store.Tx) error {
		k := store.LicenseRef{Env: p.Env, ID: p.License}
		all, err := g.Terms(ctx, tx, []store.LicenseRef{k})
		if err != nil {
			return err
		}
		if t = all[k]; t == nil {
			return licensing.Errorf(licensing.NotFound, "license %s does not exist", p.License)
		}
		now = tx.Now()
		c.Decision, err = g.check(ctx, tx, t, q)
		return err
	})
	if err != nil {
		return Checked{}, err
	}
	g.ledger.Metrics.Decision(string(p.Env), string(t.Product), measured(t.Features, q.Feature)+measured(t.Pools, q.Pool)+measured(t.Meters, q.Meter), string(c.Decision.Outcome), c.Decision.Code)
	c.Reply, err = g.documents.Reply(&t.Terms, documents.Question{Nonce: q.Nonce}, c.Decision, now)
	return c, err
}

func (g *Granting) check(ctx context.Context, tx *store.Tx, t *Compiled, q CheckRequest) (license.Decision, error) {
	if q.Pool != "" {
		return g.checkPool(ctx, tx, t, q)
	}
	if d := t.InForce(tx.Now()); d.Outcome != license.Allowed {
		return d, nil
	}
	if q.Feature != "" {
		return t.Feature(q.Feature, tx.Now()), nil
	}
	return g.checkMeter(ctx, tx, t, q)
}

// checkPool makes the decision of an acquire without carrying it out.
func (g *Granting) checkPool(ctx context.Context, tx *store.Tx, t *Compiled, q CheckRequest) (license.Decision, error) {
	rule := t.Pools[q.Pool]
	row, err := tx.Pool(ctx, store.PoolKey{Env: t.Env, License: t.License, Name: q.Pool})
	if err != nil {
		return license.Decision{}, err
	}
	c := &poolCheck{a: g, tx: tx, terms: t, key: row.PoolKey, rule: rule, places: map[licensing.TicketID]*licensing.Ticket{}}
	c.ask = licensing.Ask{
		Pool: q.Pool, Holder: q.Holder.ID, Instance: rule.InstanceOf(q.Caller.Instance), Components: q.Holder.Components, Units: max(q.Units, 1),
	}
	c.state = licensing.PoolState{Stock: row.Stock, Fence: g.ledger.FenceIn(t.Env), Skew: g.ledger.Skew}
	c.state.Settled = g.ledger.Clock.Doubt() || row.Due.IsZero() || row.Due.After(tx.Now())
	return c.decide(ctx)
}

// A poolCheck is one check of a pool in progress.
type poolCheck struct {
	a      *Granting
	tx     *store.Tx
	terms  *Compiled
	key    store.PoolKey
	rule   licensing.Pool
	ask    licensing.Ask
	state  licensing.PoolState
	known  licensing.Known
	places map[licensing.TicketID]*licensing.Ticket // places in the queue that would change
}

func (c *poolCheck) decide(ctx context.Context) (license.Decision, error) {
	err := c.readHolder(ctx)
	if err == nil && c.state.Waiting > 0 {
		err = c.moveQueue(ctx)
	}
	for err == nil {
		v := licensing.Admit(&c.terms.Terms, c.state, c.known, c.ask, c.tx.Now())
		switch v.Step {
		case licensing.StepLook:
			err = c.look(ctx)
		case licensing.StepSettle:
			err = c.settle(ctx)
		default:
			return v.Decision, v.Err
		}
	}
	return license.Decision{}, err
}

// readHolder reads the leases and places of the holder by its name.
func (c *poolCheck) readHolder(ctx context.Context) (err error) {
	if c.ask.Holder == "" {
		return nil
	}
	c.known.Others, err = c.tx.HolderLeases(ctx, c.key, c.ask.Holder)
	for _, l := range c.known.Others {
		if l.Instance == c.ask.Instance {
			c.known.Lease = l
		}
	}
	return err
}

// look completes the information about a holder that has no lease under its name.
func (c *poolCheck) look(ctx context.Context) (err error) {
	c.known.Looked = true
	if c.known.Alike, err = alike(ctx, c.tx, c.key, c.rule, c.ask.Components); err != nil {
		return err
	}
	if c.terms.OncePerMachine(c.rule) {
		_, c.known.TrialHad, err = catalog.MachineHad(ctx, c.tx, &c.terms.Terms, c.rule, c.ask.Components)
	}
	return err
}

// alike returns the leases of a pool on machines that match in enough components.
func alike(ctx context.Context, tx *store.Tx, k store.PoolKey, rule licensing.Pool, components map[string]string) ([]*licensing.Lease, error) {
	if rule.Match.Need == 0 || len(components) == 0 {
		return nil, nil
	}
	keys, err := tx.MatchComponents(ctx, k, components, rule.Match.Need)
	if err != nil {
		return nil, err
	}
	leases, err := tx.Leases(ctx, keys)
	slices.SortFunc(leases, func(a, b *licensing.Lease) int {
		return cmp.Compare(slices.Index(keys, store.LeaseKey{Env: a.Env, ID: a.ID}), slices.Index(keys, store.LeaseKey{Env: b.Env, ID: b.ID}))
	})
	return leases, err
}

// settle computes the stock that an acquire would find. An acquire first reclaims the units that
// are due.
func (c *poolCheck) settle(ctx context.Context) error {
	c.state.Settled = true
	due, err := c.tx.DueLeases(ctx, c.key, c.tx.Now(), duePage*duePages)
	if err != nil {
		return err
	}
	for _, l := range due {
		c.end(l.ID)
		if l.Charge > 0 && c.rule.Shares() {
			others, err := c.a.notDue(ctx, c.tx, c.key, l.Holder)
			if err != nil {
				return err
			}
			if l.Heir(others, c.tx.Now(), c.a.ledger.Skew) != nil {
				continue
			}
		}
		c.state.Stock = c.rule.With(c.state.Stock, -l.Charge, c.tx.Now())
	}
	return c.moveQueue(ctx)
}

// moveQueue computes the stock after the queue has moved. It keeps, but does not store, its
// decisions about places.
func (c *poolCheck) moveQueue(ctx context.Context) error {
	_, closed := c.state.Fence.Waits(&c.terms.Terms, c.key.Name, c.a.ledger.Skew, c.tx.Now())
	for after, full := int64(0), true; full; {
		page, err := c.tx.Queue(ctx, c.key, after, queuePage)
		if err != nil {
			return err
		}
		for _, t := range page {
			after = t.Place
			if known := c.places[t.ID]; known != nil {
				t = known
			}
			closed = c.moveTicket(t, closed)
		}
		full = len(page) == queuePage && !closed
	}
	return nil
}

// moveTicket moves one place, and reports whether the places behind it must wait.
func (c *poolCheck) moveTicket(t *licensing.Ticket, closed bool) bool {
	if !t.Live() {
		return closed
	}
	now, waits := c.tx.Now(), t.Offered.IsZero()
	ending, offer := c.rule.Turn(c.state.Stock, *t, closed, now)
	switch {
	case ending != "":
		t.Ended, t.EndedBy = now, ending
	case offer:
		t.Offered = now.Add(licensing.OfferLasts)
	default:
		return closed || waits
	}
	c.places[t.ID] = t
	if waits {
		c.state.Waiting--
	}
	switch {
	case offer:
		c.state.Stock = c.rule.With(c.state.Stock, t.Units, now)
	case !waits:
		c.state.Stock = c.rule.With(c.state.Stock, -t.Units, now)
	}
	return closed
}

// end makes the decision treat a known lease as reclaimed.
func (c *poolCheck) end(id licensing.LeaseID) {
	for _, l := range slices.Concat(c.known.Others, c.known.Alike) {
		if l.ID == id {
			l.Ended, l.EndedBy = c.tx.Now(), licensing.EndReclaimed
		}
	}
}

// notDue returns the leases of a holder that would not be reclaimed now.
func (g *Granting) notDue(ctx context.Context, tx *store.Tx, k store.PoolKey, holder string) ([]*licensing.Lease, error) {
	live, err := tx.HolderLeases(ctx, k, holder)
	if err != nil {
		return nil, err
	}
	forced, err := tx.ForcedLeases(ctx, k, holder)
	return slices.DeleteFunc(append(live, forced...), func(l *licensing.Lease) bool {
		return !l.Due.IsZero() && !l.Due.After(tx.Now())
	}), err
}

func (g *Granting) checkMeter(ctx context.Context, tx *store.Tx, t *Compiled, q CheckRequest) (license.Decision, error) {
	meter, planned := t.Meters[q.Meter]
	if !planned {
		return license.Decision{Outcome: license.Denied, Code: license.CodeNoSuchMeter, Rule: "plan.meters", Reason: "plan " + string(t.Plan) + " has no meter " + q.Meter}, nil
	}
	if q.Quantity == "" {
		q.Quantity = "1"
	}
	quantity, err := licensing.ParseQuantity(q.Quantity, meter.Scale)
	if err != nil {
		return license.Decision{}, err
	}
	if quantity < 0 {
		return license.Decision{}, licensing.Errorf(licensing.Invalid, "quantity must not be negative").At("quantity")
	}
	last, err := tx.UsageTotals(ctx, store.MeterKey{Env: t.Env, License: t.License, Meter: q.Meter}, tx.Now(), 1)
	if err != nil {
		return license.Decision{}, err
	}
	var current store.UsageTotal
	if len(last) > 0 {
		current = last[0]
	}
	w, _ := t.Window(q.Meter, current.Window, tx.Now())
	used := current.Used
	if !w.Start.Equal(current.Window.Start) {
		used = 0
	}
	d, _ := meter.Consume(used, quantity, w)
	return d, nil
}
