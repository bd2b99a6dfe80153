package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the pgx driver, for creating databases

	"copyhold.dev/internal/store/postgres"
)

// template is the database with current tables that other databases are copied from.
const template = "copyhold"

// watch runs a server until its standard input ends, which happens however the test binary ends. It
// then removes the server's files.
const watch = `
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync="$3" -c max_connections=300 \
	-c shared_buffers=128MB -c autovacuum="$3" >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$2"
`

// A cluster is a PostgreSQL server on a socket in its own folder.
type cluster struct {
	dir   string
	admin *sql.DB
	stdin interface{ Close() error } // closing it, or the end of this process, ends the server
}

// Server starts a PostgreSQL server that syncs its commits, and returns the URL of an empty
// database on it. stop ends the server and removes its files.
func Server() (database string, stop func(), err error) {
	c, err := start("on")
	if err != nil {
		return "", nil, err
	}
	return c.url(template), func() { _ = errors.Join(c.admin.Close(), c.stdin.Close()) }, nil
}

// start starts a server with fsync and autovacuum "on" or "off". "off" is for tests that do not
// simulate a power failure.
func start(fsync string) (*cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "copyhold-pg")
	if err != nil {
		return nil, err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "postgres", "-A", "trust", "-N", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	run := exec.Command("/bin/sh", "-c", watch, "sh", bin, dir, fsync)
	run.SysProcAttr, run.Dir = attr, dir
	stdin, err := run.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := run.Start(); err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, stdin: stdin}
	if err := c.prepare(context.Background()); err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	return c, nil
}

// prepare waits until the server answers, then creates the template.
func (c *cluster) prepare(ctx context.Context) (err error) {
	if c.admin, err = sql.Open("pgx", c.url("postgres")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // a late server fails every test on it
	defer cancel()
	for c.admin.PingContext(ctx) != nil {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
			return fmt.Errorf("the server does not answer: %s", log)
		}
	}
	if _, err := c.admin.ExecContext(ctx, "CREATE DATABASE "+template); err != nil {
		return err
	}
	db, err := postgres.Open(ctx, c.url(template), "")
	if err != nil {
		return err
	}
	return db.Close()
}

func (c *cluster) create(ctx context.Context, name string) error {
	_, err := c.admin.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
	return err
}

func (c *cluster) drop(ctx context.Context, name string) error {
	_, err := c.admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	return err
}

func (c *cluster) url(name string) string {
	q := url.Values{"host": {c.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + name, RawQuery: q.Encode()}).String()
}

// binaries finds the folder of initdb and postgres, which may be missing from PATH.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("initdb was not found in PATH or in /usr/lib/postgresql")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// unprivileged gives dir to another user if root runs the tests, because PostgreSQL refuses to run
// as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}
