// Package postgres opens the engine for several server nodes. It decides only
// on a primary, and takes a commit that was not confirmed by its standby as
// unknown.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"copyhold.dev/internal/store"
)

const (
	// writers is the sessions that write: two that batch do more than many
	// that queue for a row; the others serve administration and the log.
	writers = 6
	readers = 4
	// migrationLock is the advisory lock held while migrating.
	migrationLock = 0x636f7079686f6c64
	// useLock with the schema is the advisory lock that every session of a server
	// shares, and that OpenAlone takes for itself.
	useLock = 0x636f7079
	// unconfirmed is where a connection notes that its commit was not confirmed.
	unconfirmed = "copyhold.unconfirmed"
)

// Open connects to the PostgreSQL primary at a URL or in libpq's keyword form
// and brings its tables up to date. With several hosts it takes the one that
// accepts writes. A password that is not empty is the one to use. Its errors show no
// password.
func Open(ctx context.Context, dsn, password string) (*store.DB, error) {
	config, err := configure(dsn, password)
	if err != nil {
		return nil, err
	}
	return open(ctx, config, share, engine())
}

// OpenAlone is Open for a process that must be the only one: it fails while
// another has a session, and no other gets a session before it is closed.
func OpenAlone(ctx context.Context, dsn, password string) (*store.DB, error) {
	config, err := configure(dsn, password)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	release := func() error { return conn.Close(context.WithoutCancel(ctx)) }
	if err := use(ctx, conn, "pg_try_advisory_lock", "another copyhold process uses the database: stop every server on it first"); err != nil {
		return nil, errors.Join(err, release())
	}
	alone := engine()
	alone.Close = release
	db, err := open(ctx, config, func(context.Context, *pgx.Conn) error { return nil }, alone)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return db, nil
}

// Examine connects as Open does, reads what is in the database and changes nothing. It
// fails where tables are to be made and the user may not.
func Examine(ctx context.Context, dsn, password string) (e store.Examined, err error) {
	config, err := configure(dsn, password)
	if err != nil {
		return e, err
	}
	config.RuntimeParams["default_transaction_read_only"] = "on"
	conns := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, conns.Close()) }()
	if e, err = store.Examine(ctx, conns, engine()); err != nil || e.Behind == 0 {
		return e, err
	}
	var may sql.NullBool
	if err := conns.QueryRowContext(ctx, "SELECT has_schema_privilege(current_schema(), 'CREATE')").Scan(&may); err != nil {
		return e, fmt.Errorf("asking for the user's privileges: %w", err)
	}
	if !may.Bool {
		return e, fmt.Errorf("user %s may not make tables in the database: GRANT CREATE ON SCHEMA … TO %s, as the schema's owner", config.User, config.User)
	}
	return e, nil
}

// share has a session keep OpenAlone out for as long as it lasts.
func share(ctx context.Context, conn *pgx.Conn) error {
	return use(ctx, conn, "pg_try_advisory_lock_shared", "a copyhold process has the database for itself, as a repair does: try again when it has ended")
}

// leaving is how long the sessions of a process that has just ended may hold its locks:
// PostgreSQL ends them after the process has closed them.
const leaving = 2 * time.Second

// use takes the lock of the schema with a function of PostgreSQL, or fails with refused
// once nobody who is leaving can hold it.
func use(ctx context.Context, conn *pgx.Conn, function, refused string) error {
	taken := false
	for since := time.Now(); ; {
		err := conn.QueryRow(ctx, "SELECT "+function+"($1, CAST(CAST(current_schema()::regnamespace AS OID) AS INT4))", useLock).Scan(&taken)
		if err != nil {
			return fmt.Errorf("locking the database: %w", err)
		}
		if taken || time.Since(since) > leaving {
			break
		}
		if _, err := conn.Exec(ctx, "SELECT pg_sleep(0.05)"); err != nil {
			return fmt.Errorf("locking the database: %w", err)
		}
	}
	if !taken {
		return errors.New(refused)
	}
	return nil
}

func configure(dsn, password string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, unreadable(err)
	}
	if password != "" {
		config.Password = password
	}
	config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	config.OnNotice = notice
	set(config.RuntimeParams, "application_name", "copyhold")
	// Statements find rows by their keys, many at once. Planned while a table is
	// young they would scan it; planned anew each time they would cost more to plan
	// than to run. A bitmap scan does not mark the index entries that are dead.
	for _, off := range []string{"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_material"} {
		set(config.RuntimeParams, off, "off")
	}
	set(config.RuntimeParams, "plan_cache_mode", "force_generic_plan")
	set(config.RuntimeParams, "jit", "off")
	return config, nil
}

// open opens the store on sessions that each begin with lock.
func open(ctx context.Context, config *pgx.ConnConfig, lock func(context.Context, *pgx.Conn) error, engine store.Engine) (*store.DB, error) {
	conns := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		if err := lock(ctx, c); err != nil {
			return err
		}
		// The log's rows compress as well by it, in a tenth of the time. A server
		// built without it says no, and goes on as it was.
		_, err := c.Exec(ctx, "SET default_toast_compression = lz4")
		if state(err) != "" {
			return nil
		}
		return err
	}))
	conns.SetMaxOpenConns(writers + readers + 2) // migrating takes two beside the sessions: one holds the lock
	db, err := store.Open(ctx, conns, engine)
	if err != nil {
		return nil, errors.Join(err, conns.Close())
	}
	return db, nil
}

// unreadable says that a URL cannot be read. Of pgx's reasons it keeps the file that is
// missing, for the others quote the URL, in which nobody can tell where a password ends.
func unreadable(err error) error {
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return fmt.Errorf("reading a file that the database's URL names: %w", file)
	}
	return errors.New("the database's URL cannot be read; it is postgres://USER@HOST:PORT/NAME?PARAMETER=VALUE, " +
		"with special characters percent-encoded (@ as %40); the password can be in database_password_file")
}

func set(params map[string]string, name, value string) {
	if params[name] == "" {
		params[name] = value
	}
}

func engine() store.Engine {
	return store.Engine{
		Name:      "postgres",
		Dialect:   goose.DialectPostgres,
		Writers:   writers,
		Readers:   readers,
		Begin:     "BEGIN ISOLATION LEVEL READ COMMITTED",
		BeginRead: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		ForUpdate: " FOR UPDATE",
		Tables: "SELECT CAST(relname AS TEXT) FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace" +
			" AND relname NOT LIKE 'goose%' ORDER BY oid",
		// Texts are keys: compared byte by byte they are in one order on both engines,
		// and in a fraction of the time that a language's rules take.
		DDL:        strings.NewReplacer(" WITHOUT ROWID", "", " BLOB", " BYTEA", " TEXT", ` TEXT COLLATE "C"`).Replace,
		Clock:      "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
		Retry:      func(err error) bool { return in(state(err), "40001", "40P01", "55P03") },
		Unique:     func(err error) bool { return state(err) == "23505" },
		Fatal:      func(error) bool { return false },
		Definite:   func(err error) bool { return in(state(err)[:min(2, len(state(err)))], "23", "40") },
		Early:      "SET LOCAL synchronous_commit TO OFF",
		Settle:     "SELECT pg_logical_emit_message(TRUE, 'copyhold', '')", // the least that COMMIT writes and waits for
		Replan:     "DISCARD PLANS",
		Send:       send,
		Replicated: confirmed,
		Locked:     locked,
		Seal:       seal,
		Sealed:     func(err error) bool { return state(err) == sealed },
	}
}

// sealed is the SQLSTATE of a write to a closed database.
const sealed = "CH001"

// seal makes a trigger that refuses writes. Making it waits for the
// transactions that have written to the table.
func seal(table, text string) []string {
	return []string{
		"CREATE OR REPLACE FUNCTION copyhold_closed() RETURNS trigger LANGUAGE plpgsql AS " +
			"$$ BEGIN RAISE EXCEPTION USING ERRCODE = '" + sealed + "', MESSAGE = '" + text + "'; END $$",
		"CREATE TRIGGER copyhold_closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON " + table +
			" FOR EACH STATEMENT EXECUTE FUNCTION copyhold_closed()",
	}
}

// send puts statements into one pipeline, so that a decision of a dozen
// statements waits for the server three or four times.
func send(ctx context.Context, conn *sql.Conn, list []*store.Statement) error {
	return conn.Raw(func(c any) error {
		var batch pgx.Batch
		for _, s := range list {
			batch.Queue(s.Text, s.Args...)
		}
		results := c.(*stdlib.Conn).Conn().SendBatch(ctx, &batch)
		for i, s := range list {
			if err := receive(results, s); err != nil {
				_ = results.Close() // repeats the error
				if state(err) != "" {
					return &store.Refused{Index: i, Err: err}
				}
				return err
			}
		}
		return results.Close()
	})
}

func receive(results pgx.BatchResults, s *store.Statement) error {
	if s.Scan == nil {
		tag, err := results.Exec()
		s.Changed = tag.RowsAffected()
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.Scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// state returns the server's SQLSTATE, or "" when the error is not the server's.
func state(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func in(s string, list ...string) bool {
	for _, l := range list {
		if s == l {
			return true
		}
	}
	return false
}

// notice remembers the server's warning that a commit stands here alone: it
// comes when the wait for a synchronous standby is cancelled, and the commit
// itself reports success.
func notice(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Severity == "WARNING" && strings.HasPrefix(n.Message, "canceling wait for synchronous replication") {
		c.CustomData()[unconfirmed] = n.Message
	}
}

func confirmed(conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		data := c.(*stdlib.Conn).Conn().PgConn().CustomData()
		if m, ok := data[unconfirmed]; ok {
			delete(data, unconfirmed)
			return fmt.Errorf("%v", m)
		}
		return nil
	})
}

// locked lets one process at a time migrate.
func locked(ctx context.Context, conns *sql.DB, fn func() error) error {
	conn, err := conns.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	err = fn()
	_, unlock := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return errors.Join(err, unlock)
}
