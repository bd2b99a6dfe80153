package ledger

import (
	"context"
	"slices"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// maxFollowers limits how many followers one scope can have in one log.
const maxFollowers = 100

// followerOf returns the key of a named follower in the scope of p.
func followerOf(p access.Principal, name string) store.FollowerKey {
	return store.FollowerKey{Env: p.Env, Customer: p.Customer, Product: p.Product, Name: name}
}

// Followers returns the followers of p's scope in the log of its environment, sorted by name.
func (l *Ledger) Followers(ctx context.Context, p access.Principal) ([]v1.Follower, error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return nil, err
	}
	var list []v1.Follower
	err := l.View(ctx, func(tx *store.Tx) error {
		head, err := tx.LogHead(ctx, p.Env)
		if err != nil {
			return err
		}
		all, err := tx.LogFollowers(ctx, followerOf(p, ""))
		list = make([]v1.Follower, len(all))
		for i, f := range all {
			list[i] = v1.Follower{Name: f.Name, Position: f.Position, Behind: max(0, head.Size-f.Position), MovedAt: f.MovedAt}
		}
		return err
	})
	return list, err
}

// Follow returns up to limit entries that a follower has not read yet, oldest first. They remain
// unread until MoveFollower, so a program that fails in between gets them again. A follower that
// does not exist yet begins with the first entry.
func (l *Ledger) Follow(ctx context.Context, p access.Principal, name string, limit int) (page v1.FollowedPage, err error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return page, err
	}
	if err := licensing.CheckName("follower", name); err != nil {
		return page, err
	}
	if err := l.SequenceWhatCan(ctx); err != nil { // callers expect to see their latest changes
		return page, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		position, err := tx.LogPosition(ctx, followerOf(p, name))
		if err != nil {
			return err
		}
		page = v1.FollowedPage{Position: position, Next: position, Items: []v1.LogEntry{}}
		head, err := tx.LogHead(ctx, p.Env)
		if err != nil {
			return err
		}
		if err := readOn(ctx, tx, p, &page, limit); err != nil {
			return err
		}
		page.More = page.Next < head.Size
		return nil
	})
	return page, err
}

// readOn appends the entries from page.Next on to page, and moves page.Next past the entries that
// it examined.
func readOn(ctx context.Context, tx *store.Tx, p access.Principal, page *v1.FollowedPage, limit int) error {
	row, ok, err := tx.LogRowAt(ctx, p.Env, page.Next)
	if err != nil || !ok {
		return err
	}
	for scanned, from := int64(0), row.First; scanned < maxScan; {
		rows, err := tx.LogRowsFrom(ctx, p.Env, from)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			if r.First > page.Next {
				return licensing.Errorf(licensing.Internal, "entries %d to %d are missing from the log: run copyhold audit verify", page.Next, r.First-1)
			}
			entries, err := audit.ReadRow(r.Body)
			if err != nil {
				return err
			}
			for i := page.Next - r.First; i < int64(len(entries)); i++ {
				if len(page.Items) == limit {
					return nil
				}
				e, err := ReadEntry(page.Next, entries[i])
				if err != nil {
					return err
				}
				if page.Next++; p.Sees(licensing.CustomerID(e.Customer), licensing.ProductName(e.Product)) {
					page.Items = append(page.Items, e)
				}
			}
			scanned += r.Entries
			from = r.First + 1
		}
	}
	return nil
}

// MoveFollower moves a follower of p's scope past entries that its program has processed. A new
// follower moves from 0. The error is Conflict if the follower is not at move.From, because another
// program uses the same name.
func (l *Ledger) MoveFollower(ctx context.Context, p access.Principal, name string, move v1.FollowerMove) error {
	if err := request.Require(p, access.AuditFollow); err != nil {
		return err
	}
	if err := licensing.CheckName("follower", name); err != nil {
		return err
	}
	k := followerOf(p, name)
	return l.DB.Update(ctx, func(tx *store.Tx) error {
		head, err := tx.LogHead(ctx, p.Env)
		if err != nil {
			return err
		}
		if move.To < move.From || move.To > head.Size {
			return licensing.Errorf(licensing.Invalid, "to is %d, but must be between from (%d) and the size of the log (%d)", move.To, move.From, head.Size).At("to")
		}
		all, err := tx.LogFollowers(ctx, k)
		if err != nil {
			return err
		}
		if len(all) >= maxFollowers && !slices.ContainsFunc(all, func(f store.LogFollower) bool { return f.Name == name }) {
			return licensing.Errorf(licensing.Conflict, "the log already has %d followers, the maximum: delete one that is not in use", len(all))
		}
		moved, err := tx.MoveLogFollower(ctx, store.LogFollower{FollowerKey: k, Position: move.To, MovedAt: tx.Now()}, move.From)
		if err != nil || moved {
			return err
		}
		position, err := tx.LogPosition(ctx, k)
		if err != nil {
			return err
		}
		return licensing.Errorf(licensing.Conflict, "follower %s is at %d, not at %d: another program uses the same follower name", name, position, move.From).At("from")
	})
}

// DeleteFollower deletes a follower of p's scope.
func (l *Ledger) DeleteFollower(ctx context.Context, p access.Principal, name string) error {
	if err := request.Require(p, access.AuditFollow); err != nil {
		return err
	}
	return l.DB.Update(ctx, func(tx *store.Tx) error {
		existed, err := tx.DeleteLogFollower(ctx, followerOf(p, name))
		if err == nil && !existed {
			err = request.NotFound("follower", name)
		}
		return err
	})
}
