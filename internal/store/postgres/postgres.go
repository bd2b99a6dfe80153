// Package postgres opens the engine for deployments with several server nodes. It decides only on a
// primary. If a commit was not confirmed by its standby, the outcome is unknown.
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
	// writers is the number of sessions that write. Two sessions that batch achieve more than many
	// sessions that wait for the same row. The others serve administration and the log.
	writers = 6
	readers = 4
	// migrationLock is the advisory lock for migrations.
	migrationLock = 0x636f7079686f6c64
	// useLock, together with the schema, is the advisory lock that every session of a server shares
	// and that OpenAlone holds exclusively.
	useLock = 0x636f7079
	// unconfirmed is the key under which a connection records that its commit was not confirmed.
	unconfirmed = "copyhold.unconfirmed"
)

// Open connects to the PostgreSQL primary at dsn, a URL or a string of libpq keywords, and brings
// its tables up to date. If dsn has several hosts, Open uses the one that accepts writes. A
// non-empty password replaces the one in dsn. Errors never contain a password.
func Open(ctx context.Context, dsn, password string) (*store.DB, error) {
	config, err := configure(dsn, password)
	if err != nil {
		return nil, err
	}
	return open(ctx, config, share, engine())
}

// OpenAlone is Open for a process that needs exclusive access. It fails while another process has a
// session, and no other process gets a session until the database is closed.
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
	if err := use(ctx, conn, "pg_try_advisory_lock", "another copyhold process is using the database: stop all servers on it first"); err != nil {
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

// Examine connects like Open, reads the state of the database and changes nothing. It fails if
// tables must be created and the user may not create them.
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
		return e, fmt.Errorf("reading the user's privileges: %w", err)
	}
	if !may.Bool {
		return e, fmt.Errorf("user %s may not create tables in the database: as the schema's owner, run GRANT CREATE ON SCHEMA … TO %s", config.User, config.User)
	}
	return e, nil
}

// share makes a session keep out OpenAlone as long as the session lasts.
func share(ctx context.Context, conn *pgx.Conn) error {
	return use(ctx, conn, "pg_try_advisory_lock_shared", "another copyhold process has exclusive access to the database, for example for a repair: try again when it has ended")
}

// leaving is how long the sessions of a process that has just ended can keep its locks. PostgreSQL
// ends sessions with a delay after the process has closed them.
const leaving = 2 * time.Second

// use takes the lock of the schema with the given PostgreSQL function. If the lock stays taken
// longer than leaving, use fails with the message refused.
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
	// Statements find many rows at once by their keys. Plans from the time when a table was small
	// would scan it. Planning each execution would cost more than running it. A bitmap scan does
	// not mark dead index entries.
	for _, off := range []string{"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_material"} {
		set(config.RuntimeParams, off, "off")
	}
	set(config.RuntimeParams, "plan_cache_mode", "force_generic_plan")
	set(config.RuntimeParams, "jit", "off")
	return config, nil
}

// open opens the store with sessions that each begin with lock.
func open(ctx context.Context, config *pgx.ConnConfig, lock func(context.Context, *pgx.Conn) error, engine store.Engine) (*store.DB, error) {
	conns := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		if err := lock(ctx, c); err != nil {
			return err
		}
		// The log's rows compress equally well with lz4, in a tenth of the time. A server that was
		// built without lz4 returns an error and continues with its default.
		_, err := c.Exec(ctx, "SET default_toast_compression = lz4")
		if state(err) != "" {
			return nil
		}
		return err
	}))
	conns.SetMaxOpenConns(writers + readers + 2) // migrating needs two more: one of them holds the lock
	db, err := store.Open(ctx, conns, engine)
	if err != nil {
		return nil, errors.Join(err, conns.Close())
	}
	return db, nil
}

// unreadable returns an error for a URL that cannot be parsed. Of pgx's reasons it keeps only the
// name of a missing file. The other reasons quote the URL, and nobody can tell where a password in
// it ends.
func unreadable(err error) error {
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		return fmt.Errorf("reading a file that the database's URL names: %w", file)
	}
	return errors.New("the database's URL cannot be parsed; its form is postgres://USER@HOST:PORT/NAME?PARAMETER=VALUE, " +
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
		// Text columns are keys. Bytewise comparison gives the same order on both engines, in a
		// fraction of the time that the rules of a language take.
		DDL:        strings.NewReplacer(" WITHOUT ROWID", "", " BLOB", " BYTEA", " TEXT", ` TEXT COLLATE "C"`).Replace,
		Clock:      "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
		Retry:      func(err error) bool { return in(state(err), "40001", "40P01", "55P03") },
		Unique:     func(err error) bool { return state(err) == "23505" },
		Fatal:      func(error) bool { return false },
		Definite:   func(err error) bool { return in(state(err)[:min(2, len(state(err)))], "23", "40") },
		Early:      "SET LOCAL synchronous_commit TO OFF",
		Settle:     "SELECT pg_logical_emit_message(TRUE, 'copyhold', '')", // the smallest record that COMMIT writes and waits for
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

// seal returns the statements that create a trigger that refuses writes. Creating it waits for
// transactions that have written to the table.
func seal(table, text string) []string {
	return []string{
		"CREATE OR REPLACE FUNCTION copyhold_closed() RETURNS trigger LANGUAGE plpgsql AS " +
			"$$ BEGIN RAISE EXCEPTION USING ERRCODE = '" + sealed + "', MESSAGE = '" + text + "'; END $$",
		"CREATE TRIGGER copyhold_closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON " + table +
			" FOR EACH STATEMENT EXECUTE FUNCTION copyhold_closed()",
	}
}

// send puts statements into one pipeline. A decision with a dozen statements then waits for the
// server only three or four times.
func send(ctx context.Context, conn *sql.Conn, list []*store.Statement) error {
	return conn.Raw(func(c any) error {
		var batch pgx.Batch
		for _, s := range list {
			batch.Queue(s.Text, s.Args...)
		}
		results := c.(*stdlib.Conn).Conn().SendBatch(ctx, &batch)
		for i, s := range list {
			if err := receive(results, s); err != nil {
				_ = results.Close() // returns the same error again
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

// state returns the server's SQLSTATE, or "" if the error does not come from the server.
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

// notice records the server's warning that a commit exists only on this server. The warning appears
// if the wait for a synchronous standby is canceled; the commit itself reports success.
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

// locked makes migrations run in one process at a time.
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
