package ledger

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
)

const (
	// indexAfter is how many new entries of a log wait for the index. Lists read them one by one.
	// Few entries therefore cost no transaction of their own.
	indexAfter = 1024
	// indexAtOnce limits how many entries, except for those of the last row, one transaction adds to
	// the index. This also limits how long the transaction blocks other writers.
	indexAtOnce = 1024
	// indexEvery is how often the background task looks for new entries.
	indexEvery = time.Second
)

// IndexLog adds the entries of every log to its index if at least the given number are missing. It
// is also how the entries of an earlier version get into the index. After an interruption, it
// continues where it stopped. Any number of servers may call it on a shared database.
func (l *Ledger) IndexLog(ctx context.Context, least int64) error {
	l.indexing.Lock()
	defer l.indexing.Unlock()
	for env, head := range l.Heads() {
		for head.Size-l.indexed[env] >= least {
			began := l.Now()
			size, err := l.indexSome(ctx, env, head.Size, least)
			if err != nil {
				return err
			}
			l.indexed[env] = size
			// Leave the database to others for as long as this has taken.
			pause := time.NewTimer(l.Now().Sub(began))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return ctx.Err()
			}
		}
	}
	return nil
}

// indexSome adds the next entries of a log of the given size to its index, and returns how many
// entries the index then covers.
func (l *Ledger) indexSome(ctx context.Context, env licensing.Env, size, least int64) (indexed int64, err error) {
	var to int64
	names := map[store.LogName][]int64{}
	err = l.View(ctx, func(tx *store.Tx) error {
		if indexed, err = tx.LogIndexed(ctx, env); err != nil || size-indexed < least {
			return err
		}
		for to = indexed; to < min(size, indexed+indexAtOnce); {
			rows, err := tx.LogRowsFrom(ctx, env, to)
			if err != nil {
				return err
			}
			if len(rows) == 0 { // the last ones are gone
				to = size
			}
			for _, r := range rows {
				addNames(names, r)
				if to = r.First + r.Entries; to >= indexed+indexAtOnce {
					break
				}
			}
		}
		return nil
	})
	if err != nil || to == 0 {
		return indexed, err
	}
	err = l.DB.Update(ctx, func(tx *store.Tx) error {
		first, err := tx.IndexLog(ctx, env, indexed, to, names)
		if err == nil && !first {
			to, err = tx.LogIndexed(ctx, env)
		}
		return err
	})
	return to, err
}

// addNames adds the names of a row's entries. Entries that cannot be read have no names; the
// verification of the log reports them.
func addNames(names map[store.LogName][]int64, r store.PlacedRow) {
	entries, err := audit.ReadRow(r.Body)
	if err != nil {
		return
	}
	for i, e := range entries {
		leaf, err := e.Fields()
		if err != nil {
			continue
		}
		for _, name := range []store.LogName{{Kind: store.LogType, Name: leaf.Type}, {Kind: store.LogCustomer, Name: leaf.Customer}, {Kind: store.LogProduct, Name: leaf.Product}} {
			if name.Name != "" {
				names[name] = append(names[name], r.First+int64(i))
			}
		}
	}
}

// spans are parts of the log that may match a condition, newest first. They are loaded as needed.
type spans struct {
	load   func(before int64, limit int) (found []store.LogSpan, more bool, err error)
	loaded []store.LogSpan
	limit  int
	end    bool // nothing follows what is loaded
}

// maxSpanRows limits how many rows of the index are loaded at once.
const maxSpanRows = 16

// below returns the last span that begins below before, which must not grow from call to call.
func (s *spans) below(before int64) (span store.LogSpan, found bool, err error) {
	for {
		if n := slices.IndexFunc(s.loaded, func(span store.LogSpan) bool { return span.First < before }); n >= 0 {
			s.loaded = s.loaded[n:]
			return s.loaded[0], true, nil
		}
		if s.end {
			s.loaded = nil
			return span, false, nil
		}
		s.limit = min(max(1, 2*s.limit), maxSpanRows)
		var more bool
		if s.loaded, more, err = s.load(before, s.limit); err != nil {
			return span, false, err
		}
		s.end = !more
	}
}

// crossing finds the entries that match all conditions. An entry matches a condition if one of its
// spans contains the entry.
type crossing [][]*spans

// below returns the last entry below before that matches all conditions.
func (c crossing) below(before int64) (index int64, found bool, err error) {
	for index = before - 1; ; {
		agreed := index
		for _, condition := range c {
			last := int64(-1)
			for _, s := range condition {
				span, found, err := s.below(agreed + 1)
				if err != nil {
					return 0, false, err
				}
				if found {
					last = max(last, min(span.Last, agreed))
				}
			}
			if agreed = last; agreed < 0 {
				return 0, false, nil
			}
		}
		if agreed == index {
			return index, true, nil
		}
		index = agreed
	}
}

// crossing returns the conditions of s for the indexed part of the log.
func (s *LogScan) crossing(ctx context.Context, tx *store.Tx) (c crossing, err error) {
	env, f := s.Principal.Env, s.Filter
	named := func(kind store.LogKind, names ...string) {
		condition := make([]*spans, len(names))
		for i, name := range names {
			condition[i] = &spans{load: func(before int64, limit int) ([]store.LogSpan, bool, error) {
				return tx.LogNamed(ctx, env, store.LogName{Kind: kind, Name: name}, before, limit)
			}}
		}
		c = append(c, condition)
	}
	if strings.HasSuffix(f.Type, ".") {
		types, err := tx.LogNames(ctx, env, store.LogType, f.Type)
		if err != nil {
			return nil, err
		}
		named(store.LogType, types...)
	} else if f.Type != "" {
		named(store.LogType, f.Type)
	}
	for _, customer := range []licensing.CustomerID{f.Customer, s.Principal.Customer} {
		if customer != "" {
			named(store.LogCustomer, string(customer))
		}
	}
	if s.Principal.Product != "" {
		named(store.LogProduct, string(s.Principal.Product))
	}
	if len(c) > 0 && f.License != "" {
		c = append(c, []*spans{{load: func(before int64, limit int) ([]store.LogSpan, bool, error) {
			return tx.LogOf(ctx, env, f.License, before, limit*licenseRows)
		}}})
	}
	return c, nil
}

// licenseRows is how many rows about a license are loaded for each row of the index that would be.
const licenseRows = 32

// outOfOrder is by how much the times of rows can differ from their order in the log, because the
// clocks of several servers differ.
const outOfOrder = time.Minute

// span returns the part of the first size entries that contains all entries of s's span of time.
// The times in the log are in order, to outOfOrder, except where the clock was set back.
func (s *LogScan) span(ctx context.Context, tx *store.Tx, size int64) (from, before int64, err error) {
	if s.Filter.Since.IsZero() && s.Filter.Until.IsZero() {
		return 0, size, nil
	}
	ends := []int64{size} // of the parts in order, last first
	for more := true; more; {
		var back []store.LogSpan
		if back, more, err = tx.LogNamed(ctx, s.Principal.Env, store.LogName{Kind: store.LogType, Name: licensing.ClockSetBack}, ends[len(ends)-1], maxSpanRows); err != nil {
			return 0, 0, err
		}
		for _, b := range back {
			ends = append(ends, b.First)
		}
	}
	ends = append(ends, 0)
	// reached returns the first entry of the part before ends[i] that is not older than at.
	reached := func(i int, at time.Time) int64 {
		begin := ends[i+1]
		return begin + int64(sort.Search(int(ends[i]-begin), func(n int) bool {
			var row time.Time
			if err == nil {
				row, err = tx.LogTime(ctx, s.Principal.Env, begin+int64(n))
			}
			return err != nil || !row.Before(at)
		}))
	}
	before = size
	if until := s.Filter.Until; !until.IsZero() {
		for i := range ends[1:] {
			if before = reached(i, until.Add(outOfOrder)); before > ends[i+1] {
				break
			}
		}
	}
	if since := s.Filter.Since; !since.IsZero() {
		for i := len(ends) - 2; i >= 0; i-- {
			if from = reached(i, since.Add(-outOfOrder)); from < ends[i] {
				break
			}
		}
	}
	return from, before, err
}
