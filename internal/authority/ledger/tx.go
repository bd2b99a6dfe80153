package ledger

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
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// A Tx is a transaction with the log entries that it will leave. The changes and the entries are
// committed together or not at all.
type Tx struct {
	*store.Tx
	Ring  *signing.Ring
	Skew  time.Duration
	Env   licensing.Env
	Actor string
	Call  string   // the request that the transaction serves
	rows  []logRow // nearly always one
	told  []Committed
	made  *atomic.Uint32 // counts the ids of log rows
	packs bool           // whether rows are stored packed
}

// NewTx returns a Tx in a transaction of the store. Call Close before the commit.
func (l *Ledger) NewTx(tx *store.Tx, actor string) *Tx {
	from := l.packsFrom.Load()
	return &Tx{Tx: tx, Ring: l.Ring, Skew: l.Skew, Actor: actor, made: &l.rowsMade, packs: from > 0 && tx.Now().UnixMicro() >= from}
}

// rowEntries is the maximum number of entries in a row. Readers decode whole rows.
const rowEntries = 200

type logRow struct {
	env licensing.Env
	row *audit.Row
}

// Update runs fn in a write transaction. Before the commit, it stores what fn recorded as rows of
// env's log. If another transaction interferes, Update calls fn again from the start. Pass an
// empty env for changes to the whole database; their events name their environments.
func (l *Ledger) Update(ctx context.Context, env licensing.Env, actor string, fn func(*Tx) error) error {
	if env != "" {
		if err := l.RequireEnvironment(ctx, env); err != nil {
			return err
		}
	}
	var tx *Tx
	err := l.DB.Update(ctx, l.Changing(ctx, env, actor, &tx, fn))
	l.Changed(tx, err)
	return err
}

// UpdateEarly is Update for the whole database. It may return before the change is on disk, like
// store.DB.UpdateEarly.
func (l *Ledger) UpdateEarly(ctx context.Context, fn func(*Tx) error) (settle func() error, err error) {
	var tx *Tx
	settle, err = l.DB.UpdateEarly(ctx, l.Changing(ctx, "", SystemActor, &tx, fn))
	l.Changed(tx, err)
	return settle, err
}

// Changing returns fn as a transaction of the store. last is set to the Tx of the last attempt.
func (l *Ledger) Changing(ctx context.Context, env licensing.Env, actor string, last **Tx, fn func(*Tx) error) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		c := l.NewTx(tx, actor)
		c.Env, c.Call = env, request.CallIn(ctx)
		*last = c
		if err := fn(c); err != nil {
			return err
		}
		return c.Close(ctx)
	}
}

// Changed announces a change that may have been made.
func (l *Ledger) Changed(tx *Tx, err error) {
	if tx != nil && (err == nil || licensing.CodeOf(err) == licensing.OutcomeUnknown) {
		l.Announce(tx.told)
	}
}

// A Committed is a change that a transaction has made, or may have made, to something that other
// code caches.
type Committed struct {
	Env     licensing.Env
	License licensing.LicenseID
	Notice  Notice
	Key     access.Digest // of a new license key; zero for none
	Seq     license.Seq   // of a stored license; zero if this is another change
}

// OnCommit registers fn. It is called with the changes of each transaction before the transaction's
// result is returned, and with changes that other servers are found to have made. OnCommit is not
// safe for concurrent use: call it before Start.
func (l *Ledger) OnCommit(fn func([]Committed)) { l.subscribers = append(l.subscribers, fn) }

// Announce passes changes to every subscriber.
func (l *Ledger) Announce(changes []Committed) {
	if len(changes) == 0 {
		return
	}
	for _, fn := range l.subscribers {
		fn(changes)
	}
}

// KeyStored notes that the transaction stores a license key. A server that has seen the key before
// still remembers it as unknown.
func (tx *Tx) KeyStored(env licensing.Env, id licensing.LicenseID, digest access.Digest) {
	tx.told = append(tx.told, Committed{Env: env, License: id, Notice: KeysChanged, Key: digest})
}

// LicenseStored notes the version of a license that the transaction stores, before the entry about
// the change.
func (tx *Tx) LicenseStored(env licensing.Env, id licensing.LicenseID, seq license.Seq) {
	tx.told = append(tx.told, Committed{Env: env, License: id, Seq: seq})
}

// View runs fn on one snapshot.
func (l *Ledger) View(ctx context.Context, fn func(*store.Tx) error) error {
	return l.DB.View(ctx, fn)
}

// Record adds an event to the log and returns the leaf hash of its entry. The transaction fills
// empty fields of the event: environment, actor, request, time and version.
func (tx *Tx) Record(e licensing.Event) ([sha256.Size]byte, error) {
	if e.Env == "" {
		e.Env = tx.Env
	}
	if e.Actor == "" {
		e.Actor = tx.Actor
	}
	if e.Call == "" {
		e.Call = tx.Call
	}
	if e.At.IsZero() {
		e.At = tx.Now()
	}
	if e.Version == 0 {
		e.Version = 1
	}
	if n := noticeOf(e.Type); n != 0 {
		tx.told = append(tx.told, Committed{Env: e.Env, License: e.License, Notice: n})
	}
	var salt audit.Salt
	rand.Read(salt[:])
	return tx.row(e.Env).Add(e, salt)
}

// Note records an event of the given type about the object that about names, with data.
func (tx *Tx) Note(kind string, about licensing.Event, data any) error {
	e, err := licensing.NewEvent(kind, cmp.Or(about.Env, tx.Env), tx.Now(), tx.Actor, data)
	if err != nil {
		return err
	}
	e.Product, e.Customer, e.License, e.Pool, e.Subject = about.Product, about.Customer, about.License, about.Pool, about.Subject
	_, err = tx.Record(e)
	return err
}

// Epoch returns the generation of the database, which begins every seq.
func (tx *Tx) Epoch() int64 { return tx.Ring.Epoch(tx.Env) }

// NewID returns a new id. Ids sort by time.
func NewID(prefix string, now time.Time) string {
	var random [10]byte
	rand.Read(random[:])
	return licensing.NewID(prefix, now, random)
}

// rowID returns the id of a log row. It sorts after the ids that this ledger made in the same
// millisecond, because rows are placed in the order of their ids.
func (tx *Tx) rowID(now time.Time) string {
	var random [10]byte
	rand.Read(random[:])
	binary.BigEndian.PutUint32(random[:], tx.made.Add(1))
	return licensing.NewID("row", now, random)
}

func (tx *Tx) row(env licensing.Env) *audit.Row {
	for _, r := range tx.rows {
		if r.env == env && r.row.Len() < rowEntries {
			return r.row
		}
	}
	r := audit.NewRow(tx.rowID(tx.Now()))
	tx.rows = append(tx.rows, logRow{env, r})
	return r
}

// Close stores the records of tx as rows of the log. Call it once, before the commit.
func (tx *Tx) Close(ctx context.Context) error {
	for _, r := range tx.rows {
		body := r.row.Body()
		if tx.packs {
			body = audit.Pack(body)
		}
		err := tx.AppendLog(ctx, store.LogRow{
			Env: r.env, ID: r.row.ID(), At: tx.Now(), Entries: r.row.Len(),
			Body: body, Leaves: r.row.Leaves(), Licenses: r.row.Licenses(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
