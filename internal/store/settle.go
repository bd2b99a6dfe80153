package store

import (
	"context"
	"sync"

	"copyhold.dev/internal/licensing"
)

// A settler waits for the disk on behalf of transactions that committed without waiting. One wait
// serves all that committed before it began. A settler is safe for concurrent use.
type settler struct {
	once    func() error // performs one wait
	mu      sync.Mutex
	next    *settling
	running bool
}

// A settling is one wait.
type settling struct {
	done chan struct{}
	err  error // set before done is closed
}

// settle returns when everything that was committed before the call is on disk.
func (s *settler) settle() error {
	s.mu.Lock()
	if s.next == nil {
		s.next = &settling{done: make(chan struct{})}
	}
	mine := s.next
	if !s.running {
		s.running = true
		go s.run()
	}
	s.mu.Unlock()
	<-mine.done
	return mine.err
}

func (s *settler) run() {
	for {
		s.mu.Lock()
		now := s.next
		s.next, s.running = nil, now != nil
		s.mu.Unlock()
		if now == nil {
			return
		}
		now.err = s.once()
		close(now.done)
	}
}

// settleOnce waits until everything that is committed is on disk, here and on replicas.
func (db *DB) settleOnce() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), db.commitLimit)
	defer cancel()
	s, err := db.take(ctx, db.writers)
	if err == nil {
		if err = db.engine.Send(ctx, s.conn, []*Statement{{Text: db.engine.Settle, Scan: func(Row) error { return nil }}}); err == nil {
			err = db.replicated(s)
		}
		db.writers.give(s, err != nil)
	}
	if err != nil && licensing.CodeOf(err) != licensing.OutcomeUnknown {
		err = unknown(err, db.commitLimit)
	}
	return err
}
