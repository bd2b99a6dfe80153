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

// maxFollowers bounds the followers of one log.
const maxFollowers = 100

// Followers returns who follows the log of p's environment, as far as p sees the same
// entries as they do, by name.
func (l *Ledger) Followers(ctx context.Context, p access.Principal) ([]v1.Follower, error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return nil, err
	}
	list := []v1.Follower{}
	err := l.View(ctx, func(tx *store.Tx) error {
		list = list[:0]
		head, err := tx.LogHead(ctx, p.Env)
		if err != nil {
			return err
		}
		all, err := tx.LogFollowers(ctx, p.Env)
		for _, f := range all {
			if sameScope(f, p) {
				list = append(list, v1.Follower{Name: f.Name, Position: f.Position, Behind: max(0, head.Size-f.Position), MovedAt: f.MovedAt})
			}
		}
		return err
	})
	return list, err
}

// Follow returns up to limit entries that a follower has not read, the oldest first. They
// stay unread until MoveFollower: whoever fails in between gets them again. One that does
// not exist yet begins with the first entry.
func (l *Ledger) Follow(ctx context.Context, p access.Principal, name string, limit int) (page v1.FollowedPage, err error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return page, err
	}
	if err := l.SequenceWhatCan(ctx); err != nil { // who has just done something expects to see it
		return page, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		f, err := follower(ctx, tx, p, name)
		if err != nil {
			return err
		}
		page = v1.FollowedPage{Position: f.Position, Next: f.Position, Items: []v1.LogEntry{}}
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

// readOn adds the entries from page.Next on to page, and moves it over those that were
// looked at.
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

// MoveFollower moves a follower over entries that were taken care of. Conflict if it is not
// at move.From: somebody else follows under the same name. A follower that is new moves
// from 0, and sees for good what p sees now.
func (l *Ledger) MoveFollower(ctx context.Context, p access.Principal, name string, move v1.FollowerMove) error {
	if err := request.Require(p, access.AuditFollow); err != nil {
		return err
	}
	if err := licensing.CheckName("follower", name); err != nil {
		return err
	}
	return l.DB.Update(ctx, func(tx *store.Tx) error {
		head, err := tx.LogHead(ctx, p.Env)
		if err != nil {
			return err
		}
		if move.To < move.From || move.To > head.Size {
			return licensing.Errorf(licensing.Invalid, "to %d is not between from, %d, and the size of the log, %d", move.To, move.From, head.Size).At("to")
		}
		all, err := tx.LogFollowers(ctx, p.Env)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(all, func(f store.LogFollower) bool { return f.Name == name })
		if at < 0 && len(all) >= maxFollowers {
			return licensing.Errorf(licensing.Conflict, "the log has %d followers, which is the most: delete one that nobody uses", len(all))
		}
		moved, err := tx.MoveLogFollower(ctx, store.LogFollower{
			Env: p.Env, Name: name, Customer: p.Customer, Product: p.Product, Position: move.To, MovedAt: tx.Now(),
		}, move.From)
		if err == nil && !moved {
			f, err := follower(ctx, tx, p, name)
			if err != nil {
				return err
			}
			return licensing.Errorf(licensing.Conflict, "follower %s is at %d and not at %d: another program follows under its name", name, f.Position, move.From).At("from")
		}
		return err
	})
}

// DeleteFollower forgets a follower.
func (l *Ledger) DeleteFollower(ctx context.Context, p access.Principal, name string) error {
	if err := request.Require(p, access.AuditFollow); err != nil {
		return err
	}
	return l.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := follower(ctx, tx, p, name); err != nil {
			return err
		}
		existed, err := tx.DeleteLogFollower(ctx, p.Env, name)
		if err == nil && !existed {
			err = request.NotFound("follower", name)
		}
		return err
	})
}

// follower returns the follower of a name, at the beginning of the log if there is none;
// NotFound if it sees other entries than p.
func follower(ctx context.Context, tx *store.Tx, p access.Principal, name string) (store.LogFollower, error) {
	all, err := tx.LogFollowers(ctx, p.Env)
	for _, f := range all {
		if f.Name == name && !sameScope(f, p) {
			return f, request.NotFound("follower", name)
		}
		if f.Name == name {
			return f, nil
		}
	}
	return store.LogFollower{Env: p.Env, Name: name}, err
}

func sameScope(f store.LogFollower, p access.Principal) bool {
	return f.Customer == p.Customer && f.Product == p.Product
}
