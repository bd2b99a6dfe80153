package store

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// maxStatements limits how many statements a session keeps prepared. Their texts come from the
// source, in a few sizes each, so only lists with many filters could reach the limit.
const maxStatements = 384

// These are the initial and the longest time that plans stay in use.
const (
	replanFirst = time.Second
	replanMax   = 5 * time.Minute
)

// A session is one long-lived connection with a cache of prepared statements, by text. Package
// sql's own Tx.Stmt would prepare them again in each transaction. A session is used by one
// goroutine at a time.
type session struct {
	conn       *sql.Conn
	text       func(string) string // of the engine; nil for none
	statements map[string]*sql.Stmt
	planned    time.Time     // when the engine last made new plans
	every      time.Duration // how long plans stay in use
}

func (db *DB) newSession(ctx context.Context) (*session, error) {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, text: db.engine.Text, statements: make(map[string]*sql.Stmt), planned: time.Now(), every: replanFirst}, nil
}

func (s *session) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if st, ok := s.statements[text]; ok {
		return st, nil
	}
	if len(s.statements) >= maxStatements {
		for t, st := range s.statements {
			st.Close()
			delete(s.statements, t)
		}
	}
	prepared := text
	if s.text != nil {
		prepared = s.text(text)
	}
	st, err := s.conn.PrepareContext(ctx, prepared)
	if err != nil {
		return nil, err
	}
	s.statements[text] = st
	return st, nil
}

func (s *session) query(ctx context.Context, text string, args []any) (*sql.Rows, error) {
	st, err := s.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (s *session) close() {
	for _, st := range s.statements {
		st.Close()
	}
	s.conn.Close()
}

// replan returns the statement that makes the engine plan again, when that is due. Otherwise the
// plans for a small table would stay in use as the table grows. Each interval is twice as long as
// the previous one.
func (s *session) replan(e Engine, now time.Time) string {
	if e.Replan == "" || now.Before(s.planned.Add(s.every)) {
		return ""
	}
	s.planned, s.every = now, min(2*s.every, replanMax)
	return e.Replan
}

// A pool is a fixed number of sessions, which are opened when first needed. The most recently used
// session is taken first, because its caches, and those of its database process, are warm.
type pool struct {
	slots chan struct{} // one per session in use
	mu    sync.Mutex
	idle  []*session
}

func newPool(n int) *pool { return &pool{slots: make(chan struct{}, n)} }

func (db *DB) take(ctx context.Context, p *pool) (*session, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s := p.last(); s != nil {
		return s, nil
	}
	s, err := db.newSession(ctx)
	if err != nil {
		<-p.slots
	}
	return s, err
}

func (p *pool) last() (s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		s, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	return s
}

// give returns a session to the pool. A broken session is closed, and replaced when next needed.
func (p *pool) give(s *session, broken bool) {
	if broken {
		s.close()
	} else {
		p.mu.Lock()
		p.idle = append(p.idle, s)
		p.mu.Unlock()
	}
	<-p.slots
}

// close waits until no session is in use, then closes all of them.
func (p *pool) close() {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for s := p.last(); s != nil; s = p.last() {
		s.close()
	}
}
