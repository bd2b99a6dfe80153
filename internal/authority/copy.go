package authority

import (
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/sdk/license"
)

// copyEvery is how often the log repeats that a copy of an environment is at work.
const copyEvery = 15 * time.Minute

// copies remembers when copies were last noted. It is safe for concurrent use.
type copies struct {
	mu    sync.Mutex
	noted map[licensing.Env]time.Time
}

// due reports whether a copy of env may be noted again at now.
func (c *copies) due(env licensing.Env, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.noted[env]) >= copyEvery
}

func (c *copies) note(env licensing.Env, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noted == nil {
		c.noted = map[licensing.Env]time.Time{}
	}
	c.noted[env] = now
}

// lookForCopy notes in the log if a lease's document was signed by another
// server of the same deployment: a backup was restored twice, or the server
// that it was taken from still runs. Each document carries a head of the log,
// and only a copy signs one that this log does not have. Holders of both are
// served; two copies together can grant more than was sold.
func (a *Authority) lookForCopy(o *op, doc *license.Lease) {
	now := a.db.Latest()
	if doc.Head == nil || doc.Seq.Epoch < a.epoch.Load() || !a.copies.due(o.env, now) {
		return
	}
	ctx := context.Background() // a program that leaves does not hide a copy
	has, err := a.hasHead(ctx, o.env, doc)
	if err == nil && !has {
		err = a.update(ctx, o.env, systemActor, func(c *change) error {
			return c.note(licensing.ViolationCopy, licensing.Event{License: o.license, Subject: doc.Lease},
				copyEvent{doc.ID, doc.IssuedAt, doc.Seq.Epoch, doc.Head.Size, doc.Head.Root})
		})
		a.copies.note(o.env, now)
		if a.log != nil {
			a.log.Error("another server of this deployment signs: a backup was restored twice, or its source still runs",
				"environment", o.env, "license", o.license, "lease", doc.Lease, "log_size", doc.Head.Size)
		}
	}
	a.task("copies", err)
}

type copyEvent struct {
	Document string `json:"document"` // its id
	IssuedAt int64  `json:"issued_at"`
	Epoch    int64  `json:"epoch"`
	Size     int64  `json:"size"` // of the log that its server has
	Root     string `json:"root"`
}

// hasHead reports whether the log has the head that a document of this epoch carries.
func (a *Authority) hasHead(ctx context.Context, env licensing.Env, doc *license.Lease) (has bool, err error) {
	if doc.Seq.Epoch > a.epoch.Load() {
		return false, nil
	}
	err = a.view(ctx, func(tx *store.Tx) error {
		stored, err := tx.LogHead(ctx, env)
		if err != nil || stored.Size < doc.Head.Size {
			return err
		}
		tree, err := audit.LoadTree(doc.Head.Size, tileReader(ctx, tx, env))
		has = err == nil && audit.Head{Root: tree.Root()}.RootText() == doc.Head.Root
		return err
	})
	return has, err
}
