package authority

import (
	"context"
	"crypto/rand"
	"fmt"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

// systemActor is who acts when nobody asked.
const systemActor = "system:start"

// Start makes the authority ready. Call it once, before anything else.
func (a *Authority) Start(ctx context.Context) error {
	if err := a.startLedger(ctx); err != nil || !a.db.Closed().IsZero() {
		return err
	}
	return a.keepQueues(ctx)
}

// startLedger makes the ledger ready: it judges the clock, names the deployment on
// its first start, compares the database with what was witnessed outside of it,
// and loads the signing keys of every environment. Call it once, before anything else.
func (a *Authority) startLedger(ctx context.Context) error {
	if err := a.beginClock(ctx); err != nil {
		return fmt.Errorf("judging the clock: %w", err)
	}
	seen, err := a.witness.load()
	if err != nil {
		return err
	}
	if !a.db.Closed().IsZero() {
		return a.startClosed(ctx)
	}
	deployment, err := a.deployment(ctx, seen)
	if err != nil {
		return err
	}
	a.epoch.Store(deployment.Epoch)
	if err := a.loadKeys(ctx); err != nil {
		return err
	}
	if err := a.beginFences(ctx); err != nil {
		return err
	}
	if err := a.loadFences(ctx); err != nil {
		return err
	}
	if err := a.sequenceWhatCan(ctx); err != nil {
		return err
	}
	return a.witness.begin(deployment.ID, deployment.Epoch, a.heads())
}

// startClosed makes the authority ready to show a database that a final backup
// closed. It writes nothing.
func (a *Authority) startClosed(ctx context.Context) error {
	if err := a.loadKeys(ctx); err != nil {
		return err
	}
	if err := a.loadFences(ctx); err != nil {
		return err
	}
	return a.view(ctx, func(tx *store.Tx) error {
		d, _, err := tx.Deployment(ctx)
		if err != nil {
			return err
		}
		a.epoch.Store(d.Epoch)
		heads, err := tx.LogHeads(ctx)
		if err != nil {
			return err
		}
		byEnv := make(map[licensing.Env]store.LogHead, len(heads))
		for _, h := range heads {
			byEnv[h.Env] = h
		}
		return a.publish(byEnv)
	})
}

// deployment returns what this database is. If it is older than what was
// witnessed it begins a new epoch, because documents that it does not know may
// carry numbers that it would give again, and puts up a fence.
func (a *Authority) deployment(ctx context.Context, seen testimony) (d store.Deployment, err error) {
	err = a.update(ctx, "", systemActor, func(c *change) error {
		var random [10]byte
		rand.Read(random[:])
		id := licensing.NewID("", c.Now(), random)[1:]
		if d, err = c.CreateDeployment(ctx, store.Deployment{ID: id, Epoch: 1, CreatedAt: c.Now()}); err != nil {
			return err
		}
		if seen.Deployment == "" {
			return nil
		}
		if seen.Deployment != d.ID {
			return licensing.Errorf(licensing.Conflict, "the data folder belongs to deployment %s, the database to %s: remove %s if this is what you want",
				seen.Deployment, d.ID, WitnessName)
		}
		behind, err := c.behind(ctx, d, seen)
		if err != nil || len(behind) == 0 {
			return err
		}
		was := d.Epoch
		d.Epoch = max(d.Epoch, seen.Epoch) + 1
		return c.fence(ctx, licensing.ViolationRollback, was, d.Epoch, c.Now(), behind)
	})
	return d, err
}

// behind compares the database with what was witnessed and says, for each
// environment whose record is older or another, how.
func (c *change) behind(ctx context.Context, d store.Deployment, seen testimony) (map[licensing.Env]string, error) {
	found := map[licensing.Env]string{}
	if d.Epoch > seen.Epoch { // restored by another server, which put up the fence
		return found, nil
	}
	for env, h := range seen.Heads {
		stored, err := c.LogHead(ctx, env)
		if err != nil {
			return nil, err
		}
		if stored.Size < h.Size {
			found[env] = fmt.Sprintf("the log has %s and had %d", licensing.Counted(stored.Size, "entry"), h.Size)
			continue
		}
		tree, err := audit.LoadTree(h.Size, tileReader(ctx, c.Tx, env))
		if err != nil {
			return nil, err
		}
		if (audit.Head{Root: tree.Root()}).RootText() != h.Root {
			found[env] = fmt.Sprintf("the first %d entries of the log are not those that were", h.Size)
		}
	}
	if len(found) == 0 && d.Epoch < seen.Epoch {
		envs, err := c.KeyEnvs(ctx)
		if err != nil {
			return nil, err
		}
		for _, env := range envs {
			found[env] = fmt.Sprintf("the database is of epoch %d and was of %d", d.Epoch, seen.Epoch)
		}
	}
	return found, nil
}

type epochEvent struct {
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Reason string `json:"reason"`
}

// tileReader reads an environment's tiles in a transaction.
func tileReader(ctx context.Context, tx *store.Tx, env licensing.Env) audit.ReadTile {
	return func(level int, n int64) ([]byte, error) { return tx.LogTile(ctx, env, level, n) }
}
