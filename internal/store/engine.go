package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/pressly/goose/v3"
)

// An Engine describes the differences between the databases. Only packages sqlite and postgres
// create one.
type Engine struct {
	Name    string        // sqlite or postgres
	Dialect goose.Dialect // the dialect of the migrations
	Writers int           // number of sessions that write
	Readers int           // number of sessions that only read

	Begin     string // begins a write transaction
	BeginRead string // begins a transaction that reads one snapshot
	ForUpdate string // suffix of a SELECT whose rows stay locked until the commit

	// Tables is the query for the names of the store's own tables in their order of creation.
	Tables string
	// DDL converts the text of migrations for the engine.
	DDL func(string) string
	// Send runs statements in order in one round trip. It stops at the first refused statement and
	// returns a *Refused for it. After any other error, the number of executed statements is
	// unknown. Send is nil if each statement is run separately.
	Send func(context.Context, *sql.Conn, []*Statement) error
	// Indexed returns the clause after a table's name that makes the engine use an index. It is nil
	// if the engine knows from statistics which index finds the fewest rows.
	Indexed func(index string) string
	// Text converts a statement to the form that the engine prepares. It may be nil.
	Text func(string) string
	// Early, run in a transaction, lets its COMMIT return before the writes are on disk; other
	// transactions can see them at once. Settle, run separately, returns when everything that was
	// committed before it is on disk. Both are empty if COMMIT waits for the disk.
	Early, Settle string
	// Lazy, run before a transaction, makes its COMMIT return before the writes are on disk, and Eager
	// makes COMMIT wait again. Both are empty if Early serves the same purpose.
	Lazy, Eager string
	// Replan makes a session plan its statements again, for the current tables. It is empty if
	// plans do not depend on the tables.
	Replan string
	// Clock is the query for the database's own clock, in microseconds. It is empty if the database
	// uses the machine's clock.
	Clock string
	// Retry reports whether the transaction was certainly rolled back for a reason that may not
	// occur in another attempt.
	Retry func(error) bool
	// Unique reports whether a row was refused because its key exists.
	Unique func(error) bool
	// Fatal reports whether the storage itself failed. The state of the disk is then unknown, and
	// the process must end.
	Fatal func(error) bool
	// Definite reports whether an error of COMMIT means that nothing was committed. After any other
	// error of COMMIT, the outcome is unknown.
	Definite func(error) bool
	// Replicated is called after each COMMIT that waits for the disk. Its error means that the
	// commit exists here but was not confirmed elsewhere. It may be nil.
	Replicated func(*sql.Conn) error
	// Seal returns the statements that make the engine refuse every write to a table, with an error
	// that contains text. Sealed recognizes that error.
	Seal   func(table, text string) []string
	Sealed func(error) bool
	// Locked runs fn while no other process migrates. It may be nil.
	Locked func(ctx context.Context, db *sql.DB, fn func() error) error
	// Maintain is called every MaintainEvery, outside any transaction, if there were writes. It may be
	// nil.
	Maintain      func(context.Context, *sql.Conn) error
	MaintainEvery time.Duration
	// Close releases the engine's own resources, after all sessions are closed. It may be nil.
	Close func() error
}
