package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// maxScan limits how many entries one page of a list examines. A page that reaches the limit can be
// short and still have a next page. It can be empty only while the index of the log is being built
// after an upgrade.
const maxScan = 50_000

// MaxIndex is larger than the index of any entry.
const MaxIndex = math.MaxInt64

// A LogFilter selects entries. Zero fields match every entry.
type LogFilter struct {
	Type     string // the exact type, or every type with this prefix if it ends with a dot
	License  licensing.LicenseID
	Customer licensing.CustomerID
	Since    time.Time
	Until    time.Time // exclusive
}

// LogEntries returns the entries that p may see, newest first.
func (l *Ledger) LogEntries(ctx context.Context, p access.Principal, f LogFilter, of request.PageOf) (request.Page[v1.LogEntry], error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return request.Page[v1.LogEntry]{}, err
	}
	after, limit, err := of.After("entry")
	if err != nil {
		return request.Page[v1.LogEntry]{}, err
	}
	before := int64(MaxIndex)
	if after != "" {
		if before, err = strconv.ParseInt(after, 10, 64); err != nil {
			return request.Page[v1.LogEntry]{}, licensing.Errorf(licensing.Invalid, "the cursor does not belong to this list").At("cursor")
		}
	}
	if after == "" { // callers expect to see their latest changes
		if err := l.SequenceWhatCan(ctx); err != nil {
			return request.Page[v1.LogEntry]{}, err
		}
	}
	scan := LogScan{Principal: p, Filter: f, Before: before, Limit: limit}
	if err := l.View(ctx, func(tx *store.Tx) error { return scan.Run(ctx, tx) }); err != nil {
		return request.Page[v1.LogEntry]{}, err
	}
	if scan.more {
		return request.Page[v1.LogEntry]{Items: scan.Found, Next: request.Cursor("entry", strconv.FormatInt(scan.Before, 10))}, nil
	}
	return request.NewPage("entry", scan.Found, limit, func(e v1.LogEntry) string { return strconv.FormatInt(e.Index, 10) }), nil
}

// A LogScan walks backward through the log until it has found enough entries.
type LogScan struct {
	Principal access.Principal
	Filter    LogFilter
	Before    int64 // all entries from this index on have been examined
	Limit     int
	Found     []v1.LogEntry
	scanned   int64
	partial   bool                                         // no index covers what is examined, so a page can be empty
	more      bool                                         // the scan stopped early
	Only      func(store.PlacedRow, int, v1.LogEntry) bool // takes the position in the row; nil accepts every entry
}

// Run reads rows until the page is full or the log ends.
func (s *LogScan) Run(ctx context.Context, tx *store.Tx) error {
	s.Found, s.scanned, s.more = nil, 0, false
	indexed, err := tx.LogIndexed(ctx, s.Principal.Env)
	if err != nil {
		return err
	}
	s.partial = true
	if done, err := s.walk(ctx, tx, s.Before, indexed); done || err != nil {
		return err
	}
	s.partial = s.Only != nil
	from, before, err := s.span(ctx, tx, indexed)
	if err != nil {
		return err
	}
	before = min(before, s.Before)
	conditions, err := s.crossing(ctx, tx)
	if err != nil {
		return err
	}
	if len(conditions) == 0 {
		_, err := s.walk(ctx, tx, before, from)
		return err
	}
	for len(s.Found) < s.Limit {
		index, found, err := conditions.below(before)
		if err != nil || !found || index < from {
			return err
		}
		r, found, err := tx.LogRowAt(ctx, s.Principal.Env, index)
		if err != nil {
			return err
		}
		if before = index; found {
			before = r.First
			err = s.row(r)
		}
		if err != nil || s.late(r.First) {
			return err
		}
	}
	return nil
}

// walk examines the entries from before down to from, without the index of names. It reports
// whether the page ends there.
func (s *LogScan) walk(ctx context.Context, tx *store.Tx, before, from int64) (done bool, err error) {
	for before > from {
		rows, err := tx.LogRowsBefore(ctx, s.Principal.Env, before, s.Filter.License, s.Filter.Until)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		for _, r := range rows {
			if before = r.First; r.First+r.Entries <= from {
				return false, nil
			}
			if err := s.row(r); err != nil || len(s.Found) >= s.Limit {
				return true, err
			}
		}
		if s.late(before) {
			return true, nil
		}
	}
	return false, nil
}

// late reports whether enough entries were examined for one page. The next page begins below
// before.
func (s *LogScan) late(before int64) bool {
	if s.scanned > maxScan && (s.partial || len(s.Found) > 0) {
		s.Before, s.more = before, true
	}
	return s.more
}

func (s *LogScan) row(r store.PlacedRow) error {
	if r.Body == nil || !s.Filter.Until.IsZero() && r.At.After(s.Filter.Until) {
		return nil
	}
	entries, err := audit.ReadRow(r.Body)
	if err != nil {
		return err
	}
	s.scanned += r.Entries
	for i := len(entries) - 1; i >= 0 && len(s.Found) < s.Limit; i-- {
		index := r.First + int64(i)
		if index >= s.Before {
			continue
		}
		leaf, err := readLeaf(index, entries[i])
		if err != nil {
			return err
		}
		if !s.Filter.matches(leaf) || !s.Principal.Sees(licensing.CustomerID(leaf.Customer), licensing.ProductName(leaf.Product)) {
			continue
		}
		e, err := entryOf(index, entries[i], leaf)
		if err != nil {
			return err
		}
		if s.Only == nil || s.Only(r, i, e) {
			s.Found = append(s.Found, e)
		}
	}
	return nil
}

func (f LogFilter) matches(e audit.Leaf) bool {
	at := time.UnixMicro(e.At)
	return (f.Type == "" || f.Type == e.Type || strings.HasSuffix(f.Type, ".") && strings.HasPrefix(e.Type, f.Type)) &&
		(f.License == "" || f.License == licensing.LicenseID(e.License)) &&
		(f.Customer == "" || f.Customer == licensing.CustomerID(e.Customer)) &&
		!at.Before(f.Since) && (f.Until.IsZero() || at.Before(f.Until))
}

// ReadEntry returns an entry in the form of the API.
func ReadEntry(index int64, e audit.Entry) (v1.LogEntry, error) {
	leaf, err := readLeaf(index, e)
	if err != nil {
		return v1.LogEntry{}, err
	}
	return entryOf(index, e, leaf)
}

func readLeaf(index int64, e audit.Entry) (audit.Leaf, error) {
	leaf, err := e.Fields()
	if err != nil {
		return leaf, fmt.Errorf("entry %d: %w", index, err)
	}
	return leaf, nil
}

func entryOf(index int64, e audit.Entry, leaf audit.Leaf) (v1.LogEntry, error) {
	var p audit.Payload
	if !e.Erased() {
		if err := json.Unmarshal(e.Payload, &p); err != nil {
			return v1.LogEntry{}, fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return v1.LogEntry{
		Index: index, Hash: audit.HashText(e.Hash()), At: time.UnixMicro(leaf.At).UTC(), Type: leaf.Type, Version: leaf.Version,
		Actor: p.Actor, License: leaf.License, Product: leaf.Product, Customer: leaf.Customer, Pool: leaf.Pool, Meter: leaf.Meter,
		Subject: p.Subject, Request: p.Request, Call: p.Call, Data: p.Data, Erased: e.Erased(),
	}, nil
}

// LogEntry returns one entry with its payload.
func (l *Ledger) LogEntry(ctx context.Context, p access.Principal, index int64) (v1.LogEntry, error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return v1.LogEntry{}, err
	}
	var found v1.LogEntry
	err := l.View(ctx, func(tx *store.Tx) error {
		raw, _, err := EntryAt(ctx, tx, p.Env, index)
		if err != nil {
			return err
		}
		if found, err = ReadEntry(index, raw); err != nil {
			return err
		}
		found.Leaf, found.Salt = string(raw.Leaf), raw.Salt
		if !p.Sees(licensing.CustomerID(found.Customer), licensing.ProductName(found.Product)) {
			return request.NotFound("log entry", index)
		}
		return nil
	})
	if err != nil {
		return v1.LogEntry{}, err
	}
	return found, nil
}

// EntryAt returns the entry at an index and the row that contains it.
func EntryAt(ctx context.Context, tx *store.Tx, env licensing.Env, index int64) (audit.Entry, store.PlacedRow, error) {
	row, ok, err := tx.LogRowAt(ctx, env, index)
	if err != nil {
		return audit.Entry{}, row, err
	}
	if !ok {
		return audit.Entry{}, row, request.NotFound("log entry", index)
	}
	entries, err := audit.ReadRow(row.Body)
	if err != nil {
		return audit.Entry{}, row, err
	}
	if index-row.First >= int64(len(entries)) {
		return audit.Entry{}, row, request.NotFound("log entry", index)
	}
	return entries[index-row.First], row, nil
}

// LogHead returns the published head of the log and the key that verifies it.
func (l *Ledger) LogHead(ctx context.Context, p access.Principal) (h v1.LogHead, err error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return h, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		h, err = l.HeadIn(ctx, tx, p.Env)
		return err
	})
	return h, err
}

// HeadIn returns the head of env's log as tx sees it.
func (l *Ledger) HeadIn(ctx context.Context, tx *store.Tx, env licensing.Env) (v1.LogHead, error) {
	stored, err := tx.LogHead(ctx, env)
	if err != nil {
		return v1.LogHead{}, err
	}
	if stored.Size == 0 {
		return v1.LogHead{}, licensing.Errorf(licensing.NotFound, "the log of %s is empty", env)
	}
	h, err := audit.ParseHead(stored.Signed)
	if err != nil {
		return v1.LogHead{}, err
	}
	public, _, err := l.Ring.LogKey(env)
	if err != nil {
		return v1.LogHead{}, err
	}
	return v1.LogHead{
		Origin: h.Origin, Size: h.Size, Root: h.RootText(), Signed: stored.Signed, Key: audit.VerifierKey(h.Origin, public),
	}, nil
}

// ProveLogEntry proves that the log contains the entry at an index.
func (l *Ledger) ProveLogEntry(ctx context.Context, p access.Principal, index int64) (proof v1.LogProof, err error) {
	if _, err := l.LogEntry(ctx, p, index); err != nil { // checks what p may see
		return proof, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		entry, _, err := EntryAt(ctx, tx, p.Env, index)
		if err != nil {
			return err
		}
		head, err := l.HeadIn(ctx, tx, p.Env)
		if err != nil {
			return err
		}
		proof.Inclusion, err = audit.ProveInclusion(head.Signed, index, TileReader(ctx, tx, p.Env))
		proof.Leaf, proof.Text, proof.Key = string(entry.Leaf), proof.Inclusion.Text(), head.Key
		return err
	})
	return proof, err
}

// ProveLogConsistency proves that the first from entries of the log are a prefix of its first to
// entries. If to is 0, it stands for all entries under the published head.
func (l *Ledger) ProveLogConsistency(ctx context.Context, p access.Principal, from, to int64) (proof audit.Consistency, err error) {
	if err := request.Require(p, access.AuditRead); err != nil {
		return proof, err
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		head, err := l.HeadIn(ctx, tx, p.Env)
		if err != nil {
			return err
		}
		if to == 0 {
			to = head.Size
		}
		if from < 0 || from > to || to > head.Size {
			return licensing.Errorf(licensing.Invalid, "the log has %s: from and to must satisfy 0 <= from <= to <= %d", licensing.Counted(head.Size, "entry"), head.Size)
		}
		text, read := head.Signed, TileReader(ctx, tx, p.Env)
		if to < head.Size {
			tree, err := audit.LoadTree(to, read)
			if err != nil {
				return err
			}
			text = audit.Head{Origin: head.Origin, Size: to, Root: tree.Root()}.Text()
		}
		proof, err = audit.ProveConsistency(text, from, read)
		return err
	})
	return proof, err
}

// VerifyLog verifies the whole stored log. It also checks the log against heads that were kept
// outside the database.
func (l *Ledger) VerifyLog(ctx context.Context, p access.Principal, outside ...audit.Head) (report audit.Report, err error) {
	err = l.wholeLog(ctx, p, func(whole audit.Log) error {
		report, err = audit.Verify(whole, outside...)
		return err
	})
	return report, err
}

// ExportLog writes the whole log as lines of JSON, which audit.OpenExport reads.
func (l *Ledger) ExportLog(ctx context.Context, p access.Principal, w io.Writer) error {
	return l.wholeLog(ctx, p, func(whole audit.Log) error { return audit.Export(w, whole) })
}

// wholeLog runs fn on one snapshot of the log if p may see all of it.
func (l *Ledger) wholeLog(ctx context.Context, p access.Principal, fn func(audit.Log) error) error {
	if err := RequireWholeLog(p); err != nil {
		return err
	}
	if err := l.SequenceWhatCan(ctx); err != nil {
		return err
	}
	return l.View(ctx, func(tx *store.Tx) error {
		head, err := l.HeadIn(ctx, tx, p.Env)
		if err != nil {
			return err
		}
		strays, err := tx.StrayLog(ctx, p.Env)
		if err != nil {
			return err
		}
		return fn(audit.Log{Key: head.Key, Head: head.Signed, Tile: TileReader(ctx, tx, p.Env), Strays: strays, Rows: PlacedRows(ctx, tx, p.Env)})
	})
}

// RequireWholeLog refuses a principal that may not read all entries of its environment.
func RequireWholeLog(p access.Principal) error {
	if err := request.Require(p, access.AuditRead); err != nil {
		return err
	}
	if p.Customer != "" || p.Product != "" {
		return licensing.Errorf(licensing.Forbidden, "the whole log is available only to tokens that may see every customer and product")
	}
	return nil
}

// PlacedRows yields the rows of the log that have been placed, in order.
func PlacedRows(ctx context.Context, tx *store.Tx, env licensing.Env) func(func(audit.PlacedRow, error) bool) {
	return func(yield func(audit.PlacedRow, error) bool) {
		for r, err := range tx.LogRows(ctx, env) {
			if !yield(audit.PlacedRow{ID: r.ID, First: r.First, Count: r.Entries, Body: r.Body}, err) {
				return
			}
		}
	}
}

// EraseLogPayload permanently removes actor, subject, request, call and data from an entry. It
// records the erasure, with actor and reason. The entry and its proofs remain.
func (l *Ledger) EraseLogPayload(ctx context.Context, p access.Principal, index int64, reason string) error {
	if err := request.Require(p, access.AuditErase); err != nil {
		return err
	}
	return l.Update(ctx, p.Env, p.Actor, func(tx *Tx) error {
		_, row, err := EntryAt(ctx, tx.Tx, p.Env, index)
		if err != nil {
			return err
		}
		body, err := tx.LockLogRow(ctx, p.Env, row.ID)
		if err != nil {
			return err
		}
		entries, err := audit.ReadRow(body)
		if err != nil {
			return err
		}
		position := int(index - row.First)
		erased := entries[position]
		if erased.Erased() {
			return licensing.Errorf(licensing.Gone, "the payload of entry %d has already been erased", index)
		}
		if body, err = audit.Erase(body, position); err != nil {
			return err
		}
		if err := tx.ReplaceLogBody(ctx, p.Env, row.ID, body); err != nil {
			return err
		}
		e, err := licensing.NewEvent(licensing.PayloadErased, p.Env, tx.Now(), p.Actor, entry.Erase{Index: index, Reason: reason})
		if err != nil {
			return err
		}
		e.Subject = audit.HashText(erased.Hash())
		_, err = tx.Record(e)
		return err
	})
}

// HasHead reports whether the log contains the head in a document of this epoch.
func (l *Ledger) HasHead(ctx context.Context, env licensing.Env, doc *license.Lease) (has bool, err error) {
	if doc.Seq.Epoch > l.Epoch.Load() {
		return false, nil
	}
	err = l.View(ctx, func(tx *store.Tx) error {
		stored, err := tx.LogHead(ctx, env)
		if err != nil || stored.Size < doc.Head.Size {
			return err
		}
		tree, err := audit.LoadTree(doc.Head.Size, TileReader(ctx, tx, env))
		has = err == nil && audit.Head{Root: tree.Root()}.RootText() == doc.Head.Root
		return err
	})
	return has, err
}
