package granting

import (
	"context"
	"sync"
	"time"

	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
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
func (g *Granting) lookForCopy(o *Op, doc *license.Lease) {
	now := g.ledger.DB.Latest()
	if doc.Head == nil || doc.Seq.Epoch < g.ledger.Epoch.Load() || !g.copies.due(o.Env, now) {
		return
	}
	ctx := context.Background() // a program that leaves does not hide a copy
	has, err := g.ledger.HasHead(ctx, o.Env, doc)
	if err == nil && !has {
		err = g.ledger.Update(ctx, o.Env, ledger.SystemActor, func(tx *ledger.Tx) error {
			return tx.Note(licensing.ViolationCopy, licensing.Event{License: o.License, Subject: doc.Lease},
				entry.Copy{Document: doc.ID, IssuedAt: doc.IssuedAt, Epoch: doc.Seq.Epoch, Size: doc.Head.Size, Root: doc.Head.Root})
		})
		g.copies.note(o.Env, now)
		if g.ledger.Log != nil {
			g.ledger.Log.Error("another server of this deployment signs: a backup was restored twice, or its source still runs",
				"environment", o.Env, "license", o.License, "lease", doc.Lease, "log_size", doc.Head.Size)
		}
	}
	g.ledger.Task("copies", err)
}
