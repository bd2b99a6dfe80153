package authority

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
	// sequenceEvery is how long an entry waits for its place at most.
	sequenceEvery = 200 * time.Millisecond
	// sequenceRows bounds how long one pass keeps others from writing.
	sequenceRows = 256
	// witnessEvery is how much of the log a rollback could hide from the witness.
	witnessEvery = time.Second
)

// errSequenced says that another server placed rows first.
var errSequenced = errors.New("the log has grown meanwhile")

// A sequencer gives the rows of the log their places, one environment's tree
// each. Any number may run on one database: the head is swapped only by who
// knows its size, in the transaction that places the rows, so a pass that was
// cut short leaves nothing behind and is done again.
type sequencer struct {
	a     *Authority
	trees map[licensing.Env]audit.Tree
}

// runSequencer places rows until ctx ends, and tells the witness.
func (a *Authority) runSequencer(ctx context.Context) {
	tick := time.NewTicker(sequenceEvery)
	defer tick.Stop()
	witnessed := a.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := a.Sequence(ctx)
		if ctx.Err() != nil {
			return
		}
		a.task("sequencer", err)
		if now := a.now(); err == nil && now.Sub(witnessed) >= witnessEvery {
			a.task("witness", a.witness.save(a.heads()))
			witnessed = now
		}
	}
}

// Sequence gives every row that waits its place and publishes the heads. It is
// done every 200 ms; call it to see entries at once.
func (a *Authority) Sequence(ctx context.Context) error {
	a.sequencing.Lock()
	defer a.sequencing.Unlock()
	for {
		placed, err := a.sequencer.pass(ctx)
		if errors.Is(err, errSequenced) {
			continue
		}
		if err != nil || placed < sequenceRows {
			return err
		}
	}
}

// pass places up to sequenceRows rows and returns how many.
func (s *sequencer) pass(ctx context.Context) (int, error) {
	var pending []store.PendingRow
	heads := map[licensing.Env]store.LogHead{}
	err := s.a.view(ctx, func(tx *store.Tx) error {
		list, err := tx.LogHeads(ctx)
		if err != nil {
			return err
		}
		for _, h := range list {
			heads[h.Env] = h
		}
		pending, err = tx.PendingLog(ctx, sequenceRows)
		return err
	})
	if err != nil {
		return 0, err
	}
	var failed error // one environment's trouble is not another's
	for rest := pending; len(rest) > 0; {
		n := slices.IndexFunc(rest, func(r store.PendingRow) bool { return r.Env != rest[0].Env })
		if n < 0 {
			n = len(rest)
		}
		env := rest[0].Env
		head, err := s.place(ctx, env, heads[env].Size, rest[:n])
		if err == nil {
			heads[env] = head
		} else {
			failed = errors.Join(failed, fmt.Errorf("placing entries of %s: %w", env, err))
		}
		rest = rest[n:]
	}
	return len(pending), errors.Join(failed, s.a.publish(heads))
}

// place appends rows to an environment's tree of a size.
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
	if head.Signed, err = s.a.signHead(env, grown); err != nil {
		return store.LogHead{}, err
	}
	delete(s.trees, env) // until it is known what was committed
	err = s.a.db.Update(ctx, func(tx *store.Tx) error {
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
	err = s.a.view(ctx, func(tx *store.Tx) error {
		tree, err = audit.LoadTree(size, tileReader(ctx, tx, env))
		return err
	})
	return tree, err
}

func (a *Authority) signHead(env licensing.Env, t audit.Tree) (string, error) {
	public, sign, err := a.ring.LogKey(env)
	if err != nil {
		return "", err
	}
	h := audit.Head{Origin: audit.Origin(a.ring.Issuer(env), a.ring.Epoch(env)), Size: t.Size(), Root: t.Root()}
	return h.Sign(public, sign)
}

// publish makes heads the ones that documents carry.
func (a *Authority) publish(heads map[licensing.Env]store.LogHead) error {
	published := make(map[licensing.Env]*license.Head, len(heads))
	was := a.heads()
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
	a.published.Store(&published)
	return nil
}

func (a *Authority) heads() map[licensing.Env]*license.Head { return *a.published.Load() }

// head returns the environment's last published log head, nil before the first.
func (a *Authority) head(env licensing.Env) *license.Head { return a.heads()[env] }
