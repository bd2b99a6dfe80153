package authority

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
)

// A change is a transaction and the entries it will leave in the log. Both are
// committed together or not at all.
type change struct {
	*store.Tx
	ring  *signing.Ring
	skew  time.Duration
	env   licensing.Env
	actor string
	call  string   // the request that it is made for
	rows  []logRow // one for each environment, nearly always one
	told  []committed
}

type logRow struct {
	env licensing.Env
	row *audit.Row
}

// update runs fn in a transaction that writes, and stores what it recorded as
// one row of env's log before the commit. fn may be called again from the
// start when another transaction was in the way. An empty env is for changes of the
// whole database, whose events name their environments.
func (a *Authority) update(ctx context.Context, env licensing.Env, actor string, fn func(*change) error) error {
	if env != "" {
		if err := a.requireEnvironment(ctx, env); err != nil {
			return err
		}
	}
	var c *change
	err := a.db.Update(ctx, a.changing(ctx, env, actor, &c, fn))
	a.changed(c, err)
	return err
}

// updateEarly is update of the whole database that may return before the change
// is on the disk, as store.DB.UpdateEarly does.
func (a *Authority) updateEarly(ctx context.Context, fn func(*change) error) (settle func() error, err error) {
	var c *change
	settle, err = a.db.UpdateEarly(ctx, a.changing(ctx, "", systemActor, &c, fn))
	a.changed(c, err)
	return settle, err
}

// changing is fn as a transaction, whose last change is left in c.
func (a *Authority) changing(ctx context.Context, env licensing.Env, actor string, c **change, fn func(*change) error) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		*c = &change{Tx: tx, ring: a.ring, skew: a.skew, env: env, actor: actor, call: callIn(ctx)}
		if err := fn(*c); err != nil {
			return err
		}
		return (*c).close(ctx)
	}
}

// changed announces a change that may have been done.
func (a *Authority) changed(c *change, err error) {
	if c != nil && (err == nil || licensing.CodeOf(err) == licensing.OutcomeUnknown) {
		a.announce(c.told)
	}
}

// A committed is something that a transaction has changed, or may have changed, and
// that others remember.
type committed struct {
	env     licensing.Env
	license licensing.LicenseID
	notice  Notice
	key     access.Digest // of a license key that is new; zero for none
}

// subscribe has fn called with what each transaction changed, before its result is
// returned, and with what is found that other servers changed. It is not safe for
// concurrent use: subscribe before the start.
func (a *Authority) subscribe(fn func([]committed)) { a.subscribers = append(a.subscribers, fn) }

// announce tells every subscriber of changes.
func (a *Authority) announce(changes []committed) {
	if len(changes) == 0 {
		return
	}
	for _, fn := range a.subscribers {
		fn(changes)
	}
}

// keyStored notes a license key that the transaction stores: a server that was shown it
// before remembers that it is unknown.
func (c *change) keyStored(env licensing.Env, id licensing.LicenseID, digest access.Digest) {
	c.told = append(c.told, committed{env: env, license: id, notice: KeysChanged, key: digest})
}

// view runs fn on one snapshot.
func (a *Authority) view(ctx context.Context, fn func(*store.Tx) error) error {
	return a.db.View(ctx, fn)
}

// Record adds an event to the log and returns the leaf hash of its entry.
// What the event leaves open is taken from the change: environment, actor, request,
// time and version.
func (c *change) Record(e licensing.Event) ([sha256.Size]byte, error) {
	if e.Env == "" {
		e.Env = c.env
	}
	if e.Actor == "" {
		e.Actor = c.actor
	}
	if e.Call == "" {
		e.Call = c.call
	}
	if e.At.IsZero() {
		e.At = c.Now()
	}
	if e.Version == 0 {
		e.Version = 1
	}
	if n := noticeOf(e.Type); n != 0 {
		c.told = append(c.told, committed{env: e.Env, license: e.License, notice: n})
	}
	var salt audit.Salt
	rand.Read(salt[:])
	return c.row(e.Env).Add(e, salt)
}

// note records an event of a type about what about names, with data.
func (c *change) note(kind string, about licensing.Event, data any) error {
	e, err := licensing.NewEvent(kind, cmp.Or(about.Env, c.env), c.Now(), c.actor, data)
	if err != nil {
		return err
	}
	e.Product, e.Customer, e.License, e.Pool, e.Subject = about.Product, about.Customer, about.License, about.Pool, about.Subject
	_, err = c.Record(e)
	return err
}

// epoch is the generation of the database, which every seq begins with.
func (c *change) epoch() int64 { return c.ring.Epoch(c.env) }

// newID returns a new id that sorts by time.
func newID(prefix string, now time.Time) string {
	var random [10]byte
	rand.Read(random[:])
	return licensing.NewID(prefix, now, random)
}

// rowsMade counts the ids of log rows.
var rowsMade atomic.Uint32

// rowID returns the id of a log row, after those that this process has made in
// the same millisecond: rows take their places in the order of their ids.
func rowID(now time.Time) string {
	var random [10]byte
	rand.Read(random[:])
	binary.BigEndian.PutUint32(random[:], rowsMade.Add(1))
	return licensing.NewID("row", now, random)
}

func (c *change) row(env licensing.Env) *audit.Row {
	for _, r := range c.rows {
		if r.env == env {
			return r.row
		}
	}
	r := audit.NewRow(rowID(c.Now()))
	c.rows = append(c.rows, logRow{env, r})
	return r
}

func (c *change) close(ctx context.Context) error {
	for _, r := range c.rows {
		err := c.AppendLog(ctx, store.LogRow{
			Env: r.env, ID: r.row.ID(), At: c.Now(), Entries: r.row.Len(),
			Body: r.row.Body(), Leaves: r.row.Leaves(), Licenses: r.row.Licenses(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
