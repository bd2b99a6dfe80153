// Package sqlite opens the embedded engine, which has one file, one process and one writer. Each
// commit is on disk before it is acknowledged.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"copyhold.dev/internal/store"
)

const (
	readers = 4
	// cacheKiB limits the page cache of each connection, so that memory use does not grow with the
	// database.
	cacheKiB = 16 << 10
	// checkpointPages is the size of the write-ahead log, in pages, at which a commit itself would
	// checkpoint the log. The maintenance task does so earlier, without delaying requests.
	checkpointPages = 8 << 10
	maintainEvery   = time.Second
)

// Open opens the database file at path, creates it if it is missing, and brings its tables up to
// date. Only one process at a time can have the file open. A second process is refused, because
// both would assign the same numbers in the log.
//
// The file contains the names of customers and their leases, so a file that Open creates can be
// read only by its owner.
func Open(ctx context.Context, path string) (*store.DB, error) {
	for _, name := range []string{path, path + ".lock"} {
		if err := private(name); err != nil {
			return nil, fmt.Errorf("opening %s: %w", path, err)
		}
	}
	release, err := own(ctx, path)
	if err != nil {
		return nil, err
	}
	conns, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, errors.Join(err, release())
	}
	db, err := store.Open(ctx, conns, engine(release))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), conns.Close(), release())
	}
	return db, nil
}

// Examine reads the state of the database file at path, even if a server is running on it. It
// changes nothing. The error is fs.ErrNotExist if the file does not exist.
func Examine(ctx context.Context, path string) (e store.Examined, err error) {
	if _, err := os.Stat(path); err != nil {
		return e, err
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}
	// Without a write-ahead log, the file contains everything. Reading it this way creates no files
	// beside it, which could belong to a user other than the server's.
	if wal, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) || err == nil && wal.Size() == 0 {
		q.Set("immutable", "1")
	}
	conns, err := sql.Open("sqlite", address(path, q))
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, conns.Close()) }()
	if e, err = store.Examine(ctx, conns, engine(nil)); err != nil {
		return e, fmt.Errorf("reading %s: %w", path, err)
	}
	return e, nil
}

// private creates a missing file with mode 0600, which SQLite also uses for the files beside it. If
// the file cannot be written, the error here contains its name.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func engine(release func() error) store.Engine {
	return store.Engine{
		Name:          "sqlite",
		Dialect:       goose.DialectSQLite3,
		Writers:       1,
		Readers:       readers,
		Begin:         "BEGIN IMMEDIATE",
		BeginRead:     "BEGIN",
		Tables:        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'goose%' ORDER BY rowid",
		Text:          anonymous,
		Indexed:       func(index string) string { return " INDEXED BY " + index },
		Retry:         func(err error) bool { return primary(err) == lib.SQLITE_BUSY },
		Unique:        unique,
		Lazy:          "PRAGMA synchronous = NORMAL",
		Eager:         "PRAGMA synchronous = FULL",
		Fatal:         fatal,
		Definite:      func(error) bool { return false },
		Maintain:      checkpoint,
		MaintainEvery: maintainEvery,
		Close:         release,
		Seal:          seal,
		Sealed:        func(err error) bool { return extended(err) == lib.SQLITE_CONSTRAINT_TRIGGER },
	}
}

func dsn(path string) string {
	q := url.Values{}
	for _, p := range []string{
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"temp_store(MEMORY)",
		fmt.Sprintf("cache_size(-%d)", cacheKiB),
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointPages),
		fmt.Sprintf("journal_size_limit(%d)", 64<<20),
	} {
		q.Add("_pragma", p)
	}
	return address(path, q)
}

// address returns the name with which SQLite opens the file at path.
func address(path string, q url.Values) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// own holds a lock beside the database until release is called or the process ends. The lock is a
// transaction on a separate file, so it works wherever SQLite works.
func own(ctx context.Context, path string) (release func() error, err error) {
	conns, err := sql.Open("sqlite", address(path+".lock", nil))
	if err != nil {
		return nil, err
	}
	conns.SetMaxOpenConns(1)
	if _, err := conns.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		_ = conns.Close() // report the failed lock
		if primary(err) == lib.SQLITE_BUSY {
			return nil, fmt.Errorf("%s is in use by another copyhold process", path)
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return conns.Close, nil
}

// anonymous removes the numbers from parameters that are in order. SQLite looks up numbered
// parameters by name at each execution, which takes quadratic time. In a statement with hundreds of
// parameters, this is most of the cost of binding.
func anonymous(text string) string {
	var b strings.Builder
	n := 0
	for rest := text; ; {
		before, after, found := strings.Cut(rest, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		number := strconv.Itoa(n)
		rest, found = strings.CutPrefix(after, number)
		if !found || rest != "" && '0' <= rest[0] && rest[0] <= '9' {
			return text
		}
		b.WriteByte('?')
	}
}

// checkpoint moves the write-ahead log into the database as far as readers allow, without blocking
// the writer.
func checkpoint(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	if primary(err) == lib.SQLITE_BUSY {
		return nil // another connection is doing so
	}
	return err
}

// primary returns SQLite's primary result code, or 0.
func primary(err error) int { return extended(err) & 0xff }

// extended returns SQLite's extended result code, or 0.
func extended(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code()
}

func unique(err error) bool {
	code := extended(err)
	return code == lib.SQLITE_CONSTRAINT_UNIQUE || code == lib.SQLITE_CONSTRAINT_PRIMARYKEY
}

// seal returns the statements that create triggers that refuse writes.
func seal(table, text string) []string {
	var all []string
	for _, write := range []string{"INSERT", "UPDATE", "DELETE"} {
		all = append(all, fmt.Sprintf("CREATE TRIGGER closed_%s_%s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, '%s'); END",
			table, strings.ToLower(write), write, table, text))
	}
	return all
}

func fatal(err error) bool {
	switch primary(err) {
	case lib.SQLITE_IOERR, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return true
	}
	return false
}
