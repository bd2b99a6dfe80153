package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

const (
	// sequenceEvery is the longest time that an entry waits for its place.
	sequenceEvery = 200 * time.Millisecond
	// sequenceRows limits how many rows of an environment one transaction places. This also limits
	// how long the transaction blocks other writers.
	sequenceRows = 256
	// sequencerActor is the actor that quarantines rows and adopts them.
	sequencerActor = "system:sequencer"
	// witnessEvery is the longest part of the log that a rollback could hide from the witness.
	witnessEvery = time.Second
)

// errSequenced means that another server placed rows first.
var errSequenced = errors.New("another server has extended the log")

// ErrUnplaced means that rows of some environments could not be placed. Rows of the other
// environments were placed.
var ErrUnplaced = errors.New("placing log rows")

// A sequencer places the rows of the log in one tree per environment. Any number of sequencers may
// share a database. Only a sequencer that knows the size of the current head can replace it, in the
// transaction that places the rows. An interrupted pass therefore leaves nothing behind and is
// repeated.
type sequencer struct {
	ledger *Ledger
	trees  map[licensing.Env]audit.Tree
}

// RunSequencer places rows until ctx ends, and updates the witness.
func (l *Ledger) RunSequencer(ctx context.Context) {
	tick := time.NewTicker(sequenceEvery)
	defer tick.Stop()
	witnessed := l.Now()
	var seen uint64
	rests := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		written := l.DB.Written()
		var err error
		if !rests || written != seen { // otherwise no row can be waiting
			err = l.Sequence(ctx)
			seen, rests = written, err == nil && !l.DB.Shared()
		}
		if ctx.Err() != nil {
			return
		}
		l.Task("sequencer", err)
		if now := l.Now(); (err == nil || errors.Is(err, ErrUnplaced)) && now.Sub(witnessed) >= witnessEvery {
			l.Task("witness", l.Witness.Save(l.Heads()))
			witnessed = now
		}
	}
}

// Sequence gives every waiting row its place and publishes the heads. The background task does the
// same every 200 ms; call Sequence to see entries immediately. If the rows of one environment
// cannot be placed, those of the others still are, and the error is ErrUnplaced.
func (l *Ledger) Sequence(ctx context.Context) error {
	l.sequencing.Lock()
	defer l.sequencing.Unlock()
	for {
		more, err := l.sequencer.pass(ctx)
		if !more && !errors.Is(err, errSequenced) || ctx.Err() != nil {
			return err
		}
	}
}

// SequenceWhatCan is Sequence for callers that need only the placed rows. The background task tries
// the other rows again every 200 ms.
func (l *Ledger) SequenceWhatCan(ctx context.Context) error {
	err := l.Sequence(ctx)
	if errors.Is(err, ErrUnplaced) {
		l.Task("sequencer", err)
		return nil
	}
	return err
}

// waiting is the work that the log has for the sequencer at one moment.
type waiting struct {
	heads map[licensing.Env]store.LogHead
	known []licensing.Env      // existing environments
	rows  [][]store.PendingRow // each element has the rows of one environment
	adopt []licensing.Env      // environments that were created after their rows were quarantined
}

func (s *sequencer) waiting(ctx context.Context) (w waiting, err error) {
	err = s.ledger.View(ctx, func(tx *store.Tx) error {
		w = waiting{heads: map[licensing.Env]store.LogHead{}}
		heads, err := tx.LogHeads(ctx)
		if err != nil {
			return err
		}
		for _, h := range heads {
			w.heads[h.Env] = h
		}
		if w.known, err = tx.KeyEnvs(ctx); err != nil {
			return err
		}
		envs, err := tx.PendingEnvs(ctx)
		if err != nil {
			return err
		}
		for _, env := range envs {
			limit := sequenceRows
			if !slices.Contains(w.known, env) {
				limit = quarantineRows
			}
			rows, err := tx.PendingLog(ctx, env, limit)
			if err != nil {
				return err
			}
			w.rows = append(w.rows, rows)
		}
		w.adopt, err = tx.OrphanEnvs(ctx)
		return err
	})
	return w, err
}

// pass places up to sequenceRows rows of each environment, quarantines rows that cannot be placed,
// and adopts quarantined rows that can be placed now. It reports whether there may be more work.
func (s *sequencer) pass(ctx context.Context) (more bool, err error) {
	w, err := s.waiting(ctx)
	if err != nil {
		return false, err
	}
	for _, env := range w.known {
		if err := s.ledger.RequireEnvironment(ctx, env); err != nil { // another server may have created it
			return false, err
		}
	}
	var failed error
	done := func(env licensing.Env, again bool, err error) {
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%w of %s: %w", ErrUnplaced, env, err))
		}
		more = more || again && err == nil
	}
	for _, env := range w.adopt { // first, because they are older than the waiting rows
		adopted, err := s.adopt(ctx, env)
		done(env, adopted, err)
	}
	if more {
		return more, failed
	}
	for _, rows := range w.rows {
		env := rows[0].Env
		fit, unfit, cause := sortRows(rows, slices.Contains(w.known, env))
		if len(unfit) > 0 && len(w.known) > 0 {
			err := s.quarantine(ctx, w.known, cause, unfit)
			done(env, true, err)
		}
		if len(fit) == 0 {
			continue
		}
		head, err := s.place(ctx, env, w.heads[env].Size, fit)
		if err == nil {
			w.heads[env] = head
		}
		done(env, len(rows) == sequenceRows, err)
	}
	return more, errors.Join(failed, s.ledger.publish(w.heads))
}

// place appends rows to an environment's tree of the given size.
func (s *sequencer) place(ctx context.Context, env licensing.Env, size int64, rows []store.PendingRow) (store.LogHead, error) {
	tree, err := s.tree(ctx, env, size)
	if err != nil {
		return store.LogHead{}, err
	}
	var leaves []byte
	for _, r := range rows {
		leaves = append(leaves, r.Leaves...)
	}
	grown, tiles := tree.Append(leaves)
	head := store.LogHead{Env: env, Size: grown.Size()}
	if head.Signed, err = s.ledger.signHead(env, grown); err != nil {
		return store.LogHead{}, err
	}
	delete(s.trees, env) // until the commit is known to have succeeded
	err = s.ledger.DB.Update(ctx, func(tx *store.Tx) error {
		head.At = tx.Now()
		first, err := tx.SwapLogHead(ctx, size, head)
		if err != nil {
			return err
		}
		if !first {
			return errSequenced
		}
		for _, t := range tiles {
			if err := tx.PutLogTile(ctx, env, store.LogTile(t)); err != nil {
				return err
			}
		}
		return tx.PlaceLog(ctx, env, size, rows)
	})
	if err == nil {
		s.trees[env] = grown
	}
	return head, err
}

func (s *sequencer) tree(ctx context.Context, env licensing.Env, size int64) (tree audit.Tree, err error) {
	if tree, ok := s.trees[env]; ok && tree.Size() == size {
		return tree, nil
	}
	err = s.ledger.View(ctx, func(tx *store.Tx) error {
		tree, err = audit.LoadTree(size, TileReader(ctx, tx, env))
		return err
	})
	return tree, err
}

func (l *Ledger) signHead(env licensing.Env, t audit.Tree) (string, error) {
	public, sign, err := l.Ring.LogKey(env)
	if err != nil {
		return "", err
	}
	h := audit.Head{Origin: audit.Origin(l.Ring.Issuer(env), l.Ring.Epoch(env)), Size: t.Size(), Root: t.Root()}
	return h.Sign(public, sign)
}

// publish makes heads the ones that documents carry.
func (l *Ledger) publish(heads map[licensing.Env]store.LogHead) error {
	published := make(map[licensing.Env]*license.Head, len(heads))
	was := l.Heads()
	for env, h := range heads {
		if old := was[env]; old != nil && old.Size == h.Size {
			published[env] = old
			continue
		}
		parsed, err := audit.ParseHead(h.Signed)
		if err != nil {
			return err
		}
		published[env] = &license.Head{Origin: parsed.Origin, Size: parsed.Size, Root: parsed.RootText()}
	}
	l.published.Store(&published)
	return nil
}

// Heads returns the published head of each log. Do not modify the map.
func (l *Ledger) Heads() map[licensing.Env]*license.Head { return *l.published.Load() }

// Head returns the environment's last published log head, or nil before the first.
func (l *Ledger) Head(env licensing.Env) *license.Head { return l.Heads()[env] }
