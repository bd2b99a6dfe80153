package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the yardstick opens the engine itself
)

// measureAlone compares the p50 latency of a single client with a bare, fsynced transaction of
// one row plus a signature, on the same disk.
func measureAlone(ctx context.Context, s settings) ([]row, error) {
	m, err := s.serve(ctx, "", 10_000)
	if err != nil {
		return nil, err
	}
	defer m.end()
	bare, err := newBareCommit(ctx, s.dataDir)
	if err != nil {
		return nil, err
	}
	defer bare.end()
	t := &taker{credential: m.credential}
	ours := func() (float64, error) {
		o, err := drive(m.addr, 1, s.span, t.turn)
		return float64(o.p50.Microseconds()), err
	}
	yardstick := func() (float64, error) {
		var all []time.Duration
		for stop := time.Now().Add(s.span); time.Now().Before(stop); {
			begin := time.Now()
			if err := bare.once(ctx); err != nil {
				return 0, err
			}
			all = append(all, time.Since(begin))
		}
		return float64(summarize(all, s.span).p50.Microseconds()), nil
	}
	a, b, ratios, err := pair(ctx, s.pairs, ours, yardstick)
	if err != nil {
		return nil, err
	}
	r := atMost("one client alone, p50", "us", 1.5, a, b, ratios)
	r.Note = "acquires and releases over HTTP; the yardstick is one row in SQLite, synchronous=FULL, and an Ed25519 signature, in process."
	return []row{r}, nil
}

type bareCommit struct {
	dir string
	db  *sql.DB
	key ed25519.PrivateKey
	n   int64
}

func newBareCommit(ctx context.Context, parent string) (*bareCommit, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, "copyhold-bench-")
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, `CREATE TABLE leases (id BIGINT PRIMARY KEY, holder TEXT, ends_at BIGINT)`)
	return &bareCommit{dir: dir, db: db, key: key}, err
}

func (b *bareCommit) once(ctx context.Context) error {
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	b.n++
	if _, err := tx.ExecContext(ctx, `INSERT INTO leases (id, holder, ends_at) VALUES ($1, $2, $3)`, b.n, "user-000001", time.Now().UnixMicro()); err != nil {
		tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	ed25519.Sign(b.key, make([]byte, 700))
	return nil
}

func (b *bareCommit) end() {
	b.db.Close()
	os.RemoveAll(b.dir)
}
