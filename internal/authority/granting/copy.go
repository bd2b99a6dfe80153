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

// copyEvery is how often the log repeats that a copy of an environment is running.
const copyEvery = 15 * time.Minute

// copies remembers when copies were last recorded. It is safe for concurrent use.
type copies struct {
	mu    sync.Mutex
	noted map[licensing.Env]time.Time
}

// due reports whether a copy of env may be recorded again at now.
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

// lookForCopy records in the log that another server of the same deployment signed a lease's
// document. That happens if a backup was restored twice, or if the server from which it was taken
// still runs. Each document contains a head of the log, and only a copy signs a head that this log
// does not have. Holders of both servers are served. Two copies together can grant more than was
// sold.
func (g *Granting) lookForCopy(o *Op, doc *license.Lease) {
	now := g.ledger.DB.Latest()
	if doc.Head == nil || doc.Seq.Epoch < g.ledger.Epoch.Load() || !g.copies.due(o.Env, now) {
		return
	}
	ctx := context.Background() // a canceled request must not hide a copy
	has, err := g.ledger.HasHead(ctx, o.Env, doc)
	if err == nil && !has {
		err = g.ledger.Update(ctx, o.Env, ledger.SystemActor, func(tx *ledger.Tx) error {
			return tx.Note(licensing.ViolationCopy, licensing.Event{License: o.License, Subject: doc.Lease},
				entry.Copy{Document: doc.ID, IssuedAt: doc.IssuedAt, Epoch: doc.Seq.Epoch, Size: doc.Head.Size, Root: doc.Head.Root})
		})
		g.copies.note(o.Env, now)
		if g.ledger.Log != nil {
			g.ledger.Log.Error("another server of this deployment signs documents: a backup was restored twice, or its source still runs",
				"environment", o.Env, "license", o.License, "lease", doc.Lease, "log_size", doc.Head.Size)
		}
	}
	g.ledger.Task("copies", err)
}
