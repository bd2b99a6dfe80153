package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/pressly/goose/v3"
)

// An Engine is what differs between the databases. Packages sqlite and
// postgres each make one; nothing else does.
type Engine struct {
	Name    string        // sqlite or postgres
	Dialect goose.Dialect // what the migrations run as
	Writers int           // sessions that write
	Readers int           // sessions that only read

	Begin     string // opens a transaction that writes
	BeginRead string // opens a transaction that reads one snapshot
	ForUpdate string // ends a SELECT whose rows stay locked until the commit

	// Tables is the query for the names of the store's own tables in the order
	// in which they were made.
	Tables string
	// DDL turns the migrations' text into the engine's.
	DDL func(string) string
	// Send runs statements in order in one round trip. It stops at the first that
	// is refused and says so by a *Refused; any other error leaves open how many
	// were run. Nil where each statement is run by itself.
	Send func(context.Context, *sql.Conn, []*Statement) error
	// Text turns a statement into the one that the engine prepares. It may be nil.
	Text func(string) string
	// Early, run in a transaction, lets its COMMIT return, and others see what it
	// wrote, before that is on the disk. Settle, run by itself, returns once all
	// that was committed before it is. Both are empty where COMMIT waits for the disk.
	Early, Settle string
	// Replan makes a session plan its statements anew, for tables as they are now.
	// Empty where plans do not depend on that.
	Replan string
	// Clock is the query for the database's own clock in microseconds; empty
	// where the database has none but the machine's.
	Clock string
	// Retry reports whether the transaction was surely rolled back for a
	// reason that a second try may not meet.
	Retry func(error) bool
	// Unique reports whether a row was refused because its key exists.
	Unique func(error) bool
	// Fatal reports whether the storage itself failed: what is on the disk is
	// unknown and the process has to end.
	Fatal func(error) bool
	// Definite reports whether an error of COMMIT says that nothing was
	// committed. Any other error of COMMIT leaves the outcome unknown.
	Definite func(error) bool
	// Replicated is asked after each COMMIT that waits for the disk; its error means that the commit
	// stands here but was not confirmed elsewhere. It may be nil.
	Replicated func(*sql.Conn) error
	// Seal returns the statements that have the engine refuse every write to a
	// table with an error that says text. Sealed recognizes that error.
	Seal   func(table, text string) []string
	Sealed func(error) bool
	// Locked runs fn while no other process migrates. It may be nil.
	Locked func(ctx context.Context, db *sql.DB, fn func() error) error
	// Maintain is called every MaintainEvery outside of any transaction. It may be nil.
	Maintain      func(context.Context, *sql.Conn) error
	MaintainEvery time.Duration
	// Close releases what belongs to the engine, after all sessions. It may be nil.
	Close func() error
}
