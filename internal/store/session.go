package store

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// maxStatements bounds the statements a session keeps prepared. Texts come
// from the source, in a few sizes each, so only listings with many filters
// could ever come near it.
const maxStatements = 384

// How long what was planned stays in use, at first and at most.
const (
	replanFirst = time.Second
	replanMax   = 5 * time.Minute
)

// A session is one long-lived connection with its prepared statements, cached
// by text. Package sql's own Tx.Stmt would prepare again in each transaction.
// A session is used by one goroutine at a time.
type session struct {
	conn       *sql.Conn
	text       func(string) string // of the engine; nil for none
	statements map[string]*sql.Stmt
	planned    time.Time     // when the engine last planned anew
	every      time.Duration // when to do so again
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

// replan returns the statement that has the engine plan anew, when it is time
// for that: what was planned for a young table stays in use while the table grows. Each
// time is twice as long as the one before.
func (s *session) replan(e Engine, now time.Time) string {
	if e.Replan == "" || now.Before(s.planned.Add(s.every)) {
		return ""
	}
	s.planned, s.every = now, min(2*s.every, replanMax)
	return e.Replan
}

// A pool is a fixed number of sessions, opened when first needed. The one last
// used is taken first: what it and the database's process for it have in their
// caches is warm.
type pool struct {
	slots chan struct{} // one for each session in use
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

// give puts a session back; a broken one is closed and replaced when next needed.
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

// close waits until no session is in use, and closes all.
func (p *pool) close() {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	for s := p.last(); s != nil; s = p.last() {
		s.close()
	}
}
