package store

import (
	"context"
	"database/sql"
)

// maxStatements bounds the statements a session keeps prepared. Texts come
// from the source, in a few sizes each, so only listings with many filters
// could ever come near it.
const maxStatements = 384

// A session is one long-lived connection with its prepared statements, cached
// by text. Package sql's own Tx.Stmt would prepare again in each transaction.
// A session is used by one goroutine at a time.
type session struct {
	conn       *sql.Conn
	text       func(string) string // of the engine; nil for none
	statements map[string]*sql.Stmt
}

func (db *DB) newSession(ctx context.Context) (*session, error) {
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, text: db.engine.Text, statements: make(map[string]*sql.Stmt)}, nil
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

// A pool is a fixed number of sessions; a nil one is opened when taken.
type pool chan *session

func newPool(n int) pool {
	p := make(pool, n)
	for range n {
		p <- nil
	}
	return p
}

func (db *DB) take(ctx context.Context, p pool) (*session, error) {
	select {
	case s := <-p:
		if s != nil {
			return s, nil
		}
		s, err := db.newSession(ctx)
		if err != nil {
			p <- nil
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// give puts a session back; a broken one is closed and replaced when next needed.
func (p pool) give(s *session, broken bool) {
	if broken {
		s.close()
		s = nil
	}
	p <- s
}
