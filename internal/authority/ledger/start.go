package ledger

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// SystemActor is the actor of changes that nobody requested.
const SystemActor = "system:start"

// packAfter is how long after an upgrade rows are still stored as earlier programs store them, so
// that an upgrade can be undone by starting the earlier program.
const packAfter = 7 * 24 * time.Hour

// Start makes the ledger ready. It judges the clock, names the deployment on its first start,
// compares the database with the witness and loads the signing keys of every environment. Call it
// once, before any other method.
func (l *Ledger) Start(ctx context.Context) error {
	if err := l.BeginClock(ctx); err != nil {
		return fmt.Errorf("judging the clock: %w", err)
	}
	seen, err := l.Witness.Load()
	if err != nil {
		return err
	}
	if !l.DB.Closed().IsZero() {
		return l.startClosed(ctx)
	}
	deployment, err := l.deployment(ctx, seen)
	if err != nil {
		return err
	}
	l.Epoch.Store(deployment.Epoch)
	l.packsFrom.Store(deployment.PacksFrom.UnixMicro())
	if err := l.LoadKeys(ctx); err != nil {
		return err
	}
	if err := l.beginFences(ctx); err != nil {
		return err
	}
	if err := l.LoadFences(ctx); err != nil {
		return err
	}
	if err := l.SequenceWhatCan(ctx); err != nil {
		return err
	}
	return l.Witness.Begin(deployment.ID, deployment.Epoch, l.Heads())
}

// startClosed makes the authority ready to show a database that a final backup has closed. It
// writes nothing.
func (l *Ledger) startClosed(ctx context.Context) error {
	if err := l.LoadKeys(ctx); err != nil {
		return err
	}
	if err := l.LoadFences(ctx); err != nil {
		return err
	}
	return l.View(ctx, func(tx *store.Tx) error {
		d, _, err := tx.Deployment(ctx)
		if err != nil {
			return err
		}
		l.Epoch.Store(d.Epoch)
		heads, err := tx.LogHeads(ctx)
		if err != nil {
			return err
		}
		byEnv := make(map[licensing.Env]store.LogHead, len(heads))
		for _, h := range heads {
			byEnv[h.Env] = h
		}
		return l.publish(byEnv)
	})
}

// deployment returns the identity of this database. If the database is older than the witness,
// deployment begins a new epoch and raises a fence: documents that the database has lost may carry
// numbers that it would issue again.
func (l *Ledger) deployment(ctx context.Context, seen testimony) (d store.Deployment, err error) {
	err = l.Update(ctx, "", SystemActor, func(tx *Tx) error {
		var random [10]byte
		rand.Read(random[:])
		id := licensing.NewID("", tx.Now(), random)[1:]
		if d, err = tx.CreateDeployment(ctx, store.Deployment{ID: id, Epoch: 1, CreatedAt: tx.Now(), PacksFrom: tx.Now()}); err != nil {
			return err
		}
		if d.PacksFrom.IsZero() {
			d.PacksFrom = tx.Now().Add(packAfter)
			if err := tx.SetPacksFrom(ctx, d.PacksFrom); err != nil {
				return err
			}
		}
		if seen.Deployment == "" {
			return nil
		}
		if seen.Deployment != d.ID {
			return licensing.Errorf(licensing.Conflict, "the data folder belongs to deployment %s, but the database belongs to %s: remove %s if this is intended",
				seen.Deployment, d.ID, WitnessName)
		}
		behind, err := tx.behind(ctx, d, seen)
		if err != nil || len(behind) == 0 {
			return err
		}
		was := d.Epoch
		d.Epoch = max(d.Epoch, seen.Epoch) + 1
		return tx.Fence(ctx, licensing.ViolationRollback, was, d.Epoch, tx.Now(), behind)
	})
	return d, err
}

// behind compares the database with the witness. For each environment whose record is older or
// different, it returns a description of the difference.
func (tx *Tx) behind(ctx context.Context, d store.Deployment, seen testimony) (map[licensing.Env]string, error) {
	found := map[licensing.Env]string{}
	if d.Epoch > seen.Epoch { // restored by another server, which raised the fence
		return found, nil
	}
	for env, h := range seen.Heads {
		stored, err := tx.LogHead(ctx, env)
		if err != nil {
			return nil, err
		}
		if stored.Size < h.Size {
			found[env] = fmt.Sprintf("the log has %s, but had %d before", licensing.Counted(stored.Size, "entry"), h.Size)
			continue
		}
		tree, err := audit.LoadTree(h.Size, TileReader(ctx, tx.Tx, env))
		if err != nil {
			return nil, err
		}
		if (audit.Head{Root: tree.Root()}).RootText() != h.Root {
			found[env] = fmt.Sprintf("the first %d entries of the log have changed", h.Size)
		}
	}
	if len(found) == 0 && d.Epoch < seen.Epoch {
		envs, err := tx.KeyEnvs(ctx)
		if err != nil {
			return nil, err
		}
		for _, env := range envs {
			found[env] = fmt.Sprintf("the database is at epoch %d, but was at epoch %d before", d.Epoch, seen.Epoch)
		}
	}
	return found, nil
}

// TileReader returns a function that reads an environment's tiles in a transaction.
func TileReader(ctx context.Context, tx *store.Tx, env licensing.Env) audit.ReadTile {
	return func(level int, n int64) ([]byte, error) { return tx.LogTile(ctx, env, level, n) }
}
