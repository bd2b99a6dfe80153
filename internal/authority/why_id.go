package authority

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/documents"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// The kinds of an Explained.
const (
	kindRequest  = "request"
	kindLicense  = "license"
	kindKey      = "license_key"
	kindLease    = "lease"
	kindTicket   = "ticket"
	kindUsage    = "usage_event"
	kindLogEntry = "log_entry"
)

const (
	// repeatsKnown is how long the ids of repeated denials can be found.
	repeatsKnown = 24 * time.Hour
	// instancePrefix begins the URN that identifies a request in problem documents.
	instancePrefix = "urn:copyhold:request:"
	// shownEntries is how many log entries an explanation shows.
	shownEntries = 20
)

// Explain returns what an id from an answer or a log refers to, and what was decided. It accepts
// the id of a license, a lease, a ticket, a license key or a usage event; the digest of a license
// key in a document; the id that a program or the server gave to a request; and the index, hash or
// id of a log entry. It searches the log for other ids.
//
// A grant can be found for a day after its lease ends. A denial can be found for 30 days if it was
// the first for its holder, reason and minute, and for a day if it was among the last dozen that
// followed. A refused usage event can be found for 30 days, a recorded one for 60 days.
func (a *Authority) Explain(ctx context.Context, p access.Principal, id string) (v1.Explained, error) {
	if err := request.Require(p, access.Explain); err != nil {
		return v1.Explained{}, err
	}
	for _, prefix := range []string{instancePrefix, ledger.TokenActor, ledger.LicenseActor} {
		id = strings.TrimPrefix(id, prefix)
	}
	if err := request.CheckTexts(request.Text{Field: "id", Value: id}); err != nil {
		return v1.Explained{}, err
	}
	if p.May(access.AuditRead) {
		if err := a.ledger.SequenceWhatCan(ctx); err != nil {
			return v1.Explained{}, err
		}
	}
	x := explaining{a: a, ctx: ctx, p: p, id: id}
	err := a.ledger.View(ctx, func(tx *store.Tx) error {
		x.Tx, x.found, x.entries = tx, nil, nil
		return x.find()
	})
	if err != nil {
		return v1.Explained{}, err
	}
	return x.answer()
}

// explaining looks up one id in one snapshot.
type explaining struct {
	*store.Tx
	a       *Authority
	ctx     context.Context
	p       access.Principal
	id      string
	found   []v1.Explained
	entries []v1.LogEntry
}

// find tries the lookups, cheapest first, until one finds something.
func (x *explaining) find() error {
	for _, step := range []func() error{x.typed, x.named, x.called, x.key, x.logged} {
		if err := step(); err != nil || len(x.found) > 0 || len(x.entries) > 0 {
			return err
		}
	}
	return nil
}

// answer combines everything that was found into one explanation.
func (x *explaining) answer() (v1.Explained, error) {
	var e v1.Explained
	switch {
	case len(x.found) == 1:
		e = x.found[0]
	case len(x.found) > 1:
		first := max(0, slices.IndexFunc(x.found, func(part v1.Explained) bool { return part.Decision.Code != license.CodeOK }))
		e = x.found[first]
		e.Kind, e.Parts = kindRequest, x.found
	case len(x.entries) > 0:
		last := x.entries[0]
		e = v1.Explained{
			Kind: kindLogEntry, Request: last.Request, Call: last.Call, License: licensing.LicenseID(last.License), At: last.At, Pool: last.Pool + last.Meter,
			Decision: license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "log.entry", Reason: "the log contains " + last.Type + " at " + ledger.StampOf(last.At)},
		}
		if len(x.entries) > 1 {
			e.Decision.Reason += ", and " + licensing.Counted(len(x.entries)-1, "entry") + " more"
		}
	default:
		return e, x.unknown()
	}
	e.ID, e.Entries = x.id, x.entries
	return e, nil
}

// unknown explains why nothing was found for an id.
func (x *explaining) unknown() error {
	switch _, _, call := request.CallSpan(x.id); {
	case strings.HasPrefix(x.id, documents.DocumentPrefix+"_"):
		return licensing.Errorf(licensing.NotFound, "%s is the id of a signed document, and the server keeps no copies of documents: look up its license (sub) or its lease", x.id)
	case call:
		return licensing.Errorf(licensing.NotFound, "request %s has no record: reads, checks, and allowed renewals and validations are not recorded; a grant is kept for a day after its lease ends, a denial for 30 days", x.id)
	}
	return licensing.Errorf(licensing.NotFound, "id %s was not found; its record may have expired: grants are kept for a day after their lease ends, first denials for 30 days, repeated denials for a day, and usage events for 60 days", x.id)
}

// add adds a part if x may see its license.
func (x *explaining) add(e v1.Explained, id licensing.LicenseID, then func(*v1.Explained, licensing.License, licensing.Terms) error) error {
	l, err := catalog.SeenLicense(x.ctx, x.Tx, x.p, id)
	if licensing.CodeOf(err) == licensing.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	rev, err := catalog.RevisionOf(x.ctx, x.Tx, l)
	if err != nil {
		return err
	}
	terms, err := licensing.Compile(rev, l, x.Now())
	if err != nil {
		return err
	}
	e.ID, e.License, e.Standing = x.id, id, terms.InForce(x.Now())
	if then != nil {
		if err := then(&e, l, terms); err != nil {
			return err
		}
	}
	x.found = append(x.found, e)
	return nil
}

// typed looks up an id by its prefix.
func (x *explaining) typed() error {
	prefix, _, _ := strings.Cut(x.id, "_")
	switch prefix {
	case licensing.LicensePrefix:
		return x.add(v1.Explained{Kind: kindLicense}, licensing.LicenseID(x.id), func(e *v1.Explained, l licensing.License, _ licensing.Terms) error {
			e.At, e.Decision = l.Issued, e.Standing
			return nil
		})
	case licensing.LeasePrefix:
		leases, err := x.Leases(x.ctx, []store.LeaseKey{{Env: x.p.Env, ID: licensing.LeaseID(x.id)}})
		if err != nil || len(leases) == 0 {
			return err
		}
		return x.lease(v1.Explained{Kind: kindLease, At: leases[0].Granted}, leases[0])
	case licensing.TicketPrefix:
		tickets, err := x.Tickets(x.ctx, []store.TicketKey{{Env: x.p.Env, ID: licensing.TicketID(x.id)}})
		if err != nil || len(tickets) == 0 {
			return err
		}
		return x.ticket(v1.Explained{Kind: kindTicket, At: tickets[0].Queued}, tickets[0])
	}
	return nil
}

// lease explains a lease: its current state, or how it ended.
func (x *explaining) lease(e v1.Explained, l *licensing.Lease) error {
	return x.add(e, l.License, func(e *v1.Explained, _ licensing.License, terms licensing.Terms) error {
		e.Lease, e.Pool, e.Holder, e.Caller = l.ID, l.Pool, l.Holder, l.Caller()
		if ids := strings.Fields(l.Requests); e.Request == "" && len(ids) > 0 {
			e.Request = ids[0]
		}
		denials, err := x.LicenseDenials(x.ctx, l.Env, l.License, 10*recentDenials)
		if err != nil {
			return err
		}
		denials = slices.DeleteFunc(denials, func(d store.Denial) bool { return d.Name != l.Pool || d.Holder != l.Holder })
		e.Denials = explained(denials[:min(len(denials), recentDenials)])
		if !l.Live() {
			e.Decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "lease.ended",
				Reason: "a lease was granted and ended (" + string(l.EndedBy) + ") at " + ledger.StampOf(l.Ended)}
			return nil
		}
		if e.Decision = e.Standing; e.Decision.Outcome != license.Denied {
			e.Decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "lease.holder",
				Reason: licensing.Counted(l.Units, "unit") + " of " + l.Pool + " held"}
			if r := l.Asker.Recall; r != nil {
				e.Decision.Code, e.Decision.Rule = license.CodeRecalled, "lease.recall"
				e.Decision.Reason += "; recalled at " + ledger.StampOf(r.At)
			}
		}
		e.Decision.Capacity = terms.Pools[l.Pool].Capacity
		e.Decision.Holders, e.Decision.FreeAt = []license.Holding{l.Holding()}, granting.UnixOf(l.Due)
		row, err := x.Pool(x.ctx, granting.PoolOf(l))
		e.Decision.Held = row.Held
		return err
	})
}

// ticket explains a place in a queue.
func (x *explaining) ticket(e v1.Explained, t *licensing.Ticket) error {
	return x.add(e, t.License, func(e *v1.Explained, _ licensing.License, terms licensing.Terms) error {
		e.Ticket, e.Lease, e.Pool, e.Holder, e.Request = t.ID, t.Lease, t.Pool, t.Holder, t.Request
		e.Caller = t.Asker.Caller.After(licensing.Caller{Instance: t.Instance})
		row, err := x.Pool(x.ctx, store.PoolKey{Env: t.Env, License: t.License, Name: t.Pool})
		e.Decision = t.Decision(terms.Pools[t.Pool], row.Stock)
		if t.Live() && e.Standing.Outcome == license.Denied {
			e.Decision = e.Standing
		}
		return err
	})
}

// named looks up an id that a program chose: for a request, a usage event or a denial.
func (x *explaining) named() error {
	requests, err := x.Requests(x.ctx, x.p.Env, x.id)
	if err != nil {
		return err
	}
	for _, r := range requests {
		if err := x.request(r); err != nil {
			return err
		}
	}
	events, err := x.Events(x.ctx, x.p.Env, x.id, x.p.Customer, x.p.Product)
	if err != nil {
		return err
	}
	refusals, err := x.Refusals(x.ctx, x.p.Env, x.id)
	if err != nil {
		return err
	}
	if err := x.usage(events, refusals); err != nil || len(x.found) > 0 {
		return err
	}
	denials, err := x.Denials(x.ctx, x.p.Env, x.id)
	if err == nil && len(denials) == 0 {
		denials, err = x.RepeatedDenials(x.ctx, x.p.Env, x.id, x.Now().Add(-repeatsKnown))
	}
	if err != nil {
		return err
	}
	return x.denials(denials)
}

// request explains the result of a request that was not denied.
func (x *explaining) request(r store.Request) error {
	e := v1.Explained{Kind: kindRequest, Request: r.ID, At: r.At, Lease: r.Lease, Ticket: r.Ticket}
	if r.Lease == "" {
		tickets, err := x.Tickets(x.ctx, []store.TicketKey{{Env: r.Env, ID: r.Ticket}})
		if err != nil {
			return err
		}
		if len(tickets) > 0 {
			return x.ticket(e, tickets[0])
		}
		e.Decision = license.Decision{Outcome: license.Denied, Code: license.CodeQueued, Rule: "pool.queue", Reason: "the pool was full; the request had a place in its queue"}
		return x.add(e, r.License, nil)
	}
	leases, err := x.Leases(x.ctx, []store.LeaseKey{{Env: r.Env, ID: r.Lease}})
	if err != nil {
		return err
	}
	if len(leases) > 0 {
		return x.lease(e, leases[0])
	}
	e.Decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "pool.capacity", Reason: "a lease was granted and has since ended"}
	return x.add(e, r.License, nil)
}

// usage explains each event separately. An event that was refused first and recorded later counts
// as recorded.
func (x *explaining) usage(events []store.UsageEvent, refusals []store.UsageRefusal) error {
	recorded := map[store.EventKey]bool{}
	for _, e := range events {
		recorded[store.EventKey{Env: e.Env, License: e.License, ID: e.ID}] = true
		err := x.add(v1.Explained{Kind: kindUsage, Status: licensing.RecordedUsage, Request: e.ID, Call: e.Call, At: e.Recorded, Pool: e.Meter, UsedAt: e.At}, e.License, func(s *v1.Explained, _ licensing.License, terms licensing.Terms) error {
			m, scale := terms.Meters[e.Meter], e.Scale
			if scale < 0 {
				scale = m.Scale // an earlier version left the scale to the terms
			}
			s.Quantity = licensing.FormatQuantity(e.Quantity, scale)
			s.Decision = license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "meter.event",
				Reason: s.Quantity + " of " + e.Meter + " recorded, in the period that began at " + ledger.StampOf(e.Period)}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, r := range refusals {
		if recorded[r.EventKey] {
			continue
		}
		status := licensing.DeniedUsage
		if r.Decision.Code == string(licensing.Invalid) {
			status = licensing.InvalidUsage
		}
		if err := x.add(v1.Explained{Kind: kindUsage, Status: status, Request: r.ID, Call: r.Call, At: r.At, Pool: r.Meter, Decision: r.Decision}, r.License, nil); err != nil {
			return err
		}
	}
	return nil
}

func (x *explaining) denials(all []store.Denial) error {
	for _, d := range all {
		err := x.add(v1.Explained{
			Kind: kindRequest, Request: x.id, Call: d.Call, At: d.At, Pool: d.Name, Holder: d.Holder, Times: d.Times, Decision: d.Decision, Caller: d.Caller,
			Repeated: x.id != d.Request && x.id != d.Call,
		}, d.License, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// called looks up the records of a request by the id that the server gave it.
func (x *explaining) called() error {
	from, until, made := request.CallSpan(x.id)
	if !made {
		return nil
	}
	denials, err := x.DenialsOfCall(x.ctx, x.p.Env, x.id, from.Truncate(time.Minute), until)
	if err != nil {
		return err
	}
	events, err := x.EventsOfCall(x.ctx, x.p.Env, x.id, from, until)
	if err != nil {
		return err
	}
	refusals, err := x.RefusalsOfCall(x.ctx, x.p.Env, x.id, from, until)
	if err != nil {
		return err
	}
	if err := x.usage(events, refusals); err != nil {
		return err
	}
	if len(refusals) > 0 { // refusals contain more than the denials that count them
		denials = slices.DeleteFunc(denials, func(d store.Denial) bool {
			return slices.ContainsFunc(refusals, func(r store.UsageRefusal) bool { return r.License == d.License && r.Meter == d.Name })
		})
	}
	if err := x.denials(denials); err != nil {
		return err
	}
	if x.entries, err = x.search(from, until, func(_ store.PlacedRow, _ int, e v1.LogEntry) bool { return e.Call == x.id }); err != nil {
		return err
	}
	return x.ledTo()
}

// ledTo explains the leases and tickets that the log entries of a request name.
func (x *explaining) ledTo() error {
	known := map[string]bool{}
	for _, e := range x.entries {
		if known[e.Subject] || e.Type == licensing.DenialFirst || strings.HasPrefix(e.Type, "violation.") {
			continue
		}
		known[e.Subject] = true
		part := v1.Explained{Kind: kindRequest, Call: x.id, At: e.At, Request: e.Request}
		switch prefix, _, _ := strings.Cut(e.Subject, "_"); prefix {
		case licensing.LeasePrefix:
			leases, err := x.Leases(x.ctx, []store.LeaseKey{{Env: x.p.Env, ID: licensing.LeaseID(e.Subject)}})
			if err != nil {
				return err
			}
			for _, l := range leases {
				if err := x.lease(part, l); err != nil {
					return err
				}
			}
		case licensing.TicketPrefix:
			tickets, err := x.Tickets(x.ctx, []store.TicketKey{{Env: x.p.Env, ID: licensing.TicketID(e.Subject)}})
			if err != nil {
				return err
			}
			for _, q := range tickets {
				if err := x.ticket(part, q); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// key looks up a license key by its id, or by its digest as listed in license documents.
func (x *explaining) key() error {
	keys, err := x.KeysByID(x.ctx, x.p.Env, licensing.KeyID(x.id))
	if err == nil && len(keys) == 0 && len(x.id) == keyDigestLength {
		err = x.EachKey(x.ctx, x.p.Env, func(k store.Key) {
			var hash [32]byte
			if n, err := hex.Decode(hash[:], []byte(k.Digest)); err != nil || n != len(hash) {
				return
			}
			if license.KeyDigest(x.a.ledger.Ring.Issuer(k.Env), string(k.License), hash) == x.id {
				keys = append(keys, k)
			}
		})
	}
	if err != nil {
		return err
	}
	for _, k := range keys {
		err := x.add(v1.Explained{Kind: kindKey, At: k.CreatedAt}, k.License, func(e *v1.Explained, _ licensing.License, _ licensing.Terms) error {
			if e.Decision = e.Standing; !k.ExpiresAt.IsZero() && !x.Now().Before(k.ExpiresAt) {
				e.Decision = license.Decision{Outcome: license.Denied, Code: license.CodeNoLicense, Rule: "license.key", Reason: "license key " + string(k.ID) + " ended at " + ledger.StampOf(k.ExpiresAt)}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// keyDigestLength is the length of a license.KeyDigest.
const keyDigestLength = 22

// logged looks up a log entry by its hash, id or index, and other ids that only the log contains.
func (x *explaining) logged() (err error) {
	if !x.p.May(access.AuditRead) {
		return nil
	}
	if hash, err := hex.DecodeString(x.id); err == nil && len(hash) == 32 {
		if done, err := x.hashed(hash); done || err != nil {
			return err
		}
	}
	if n, err := strconv.ParseInt(x.id, 10, 64); err == nil && n >= 0 {
		return x.indexed(n)
	}
	if row, place, found := strings.Cut(x.id, "/"); found {
		from, ok := licensing.IDTime(row)
		if !ok {
			return nil
		}
		x.entries, err = x.search(from.Add(-request.CallEarly), from.Add(request.CallLate), func(r store.PlacedRow, n int, _ v1.LogEntry) bool { return r.ID == row && strconv.Itoa(n) == place })
		return err
	}
	names := func(_ store.PlacedRow, _ int, e v1.LogEntry) bool { return namedIn(e, x.id) }
	began, timed := licensing.IDTime(x.id)
	if !timed {
		x.entries, err = x.search(time.Time{}, time.Time{}, names)
		return err
	}
	x.entries, err = x.search(began.Add(-request.CallEarly), began.Add(request.CallLate), names)
	if err != nil || len(x.entries) == 0 || x.entries[0].License == "" {
		return err
	}
	// An id that belongs to a license can have more entries, at any later time.
	scan := ledger.LogScan{Principal: x.p, Filter: ledger.LogFilter{License: licensing.LicenseID(x.entries[0].License)}, Before: ledger.MaxIndex, Limit: shownEntries, Only: names}
	err = scan.Run(x.ctx, x.Tx)
	x.entries = scan.Found
	return err
}

// namedIn reports whether an entry concerns an id.
func namedIn(e v1.LogEntry, id string) bool {
	return e.Subject == id || e.Request == id || e.Call == id || e.License == id || e.Customer == id || strings.HasSuffix(e.Actor, ":"+id) ||
		bytes.Contains(e.Data, []byte(`"`+id+`"`))
}

// search returns the matching entries that x may read, within a span of time unless the span is
// zero.
func (x *explaining) search(from, until time.Time, match func(store.PlacedRow, int, v1.LogEntry) bool) ([]v1.LogEntry, error) {
	if !x.p.May(access.AuditRead) {
		return nil, nil
	}
	scan := ledger.LogScan{Principal: x.p, Filter: ledger.LogFilter{Since: from, Until: until}, Before: ledger.MaxIndex, Limit: shownEntries, Only: match}
	err := scan.Run(x.ctx, x.Tx)
	return scan.Found, err
}

// hashed looks up an entry by its leaf hash. The lowest level of the tree contains all leaf hashes.
func (x *explaining) hashed(hash []byte) (bool, error) {
	head, err := x.LogHead(x.ctx, x.p.Env)
	if err != nil {
		return false, err
	}
	const wide = 256 // hashes in a full tile
	for n := (head.Size - 1) / wide; n >= 0 && head.Size > 0; n-- {
		tile, err := x.LogTile(x.ctx, x.p.Env, 0, n)
		if err != nil {
			return false, err
		}
		for i := 0; i+len(hash) <= len(tile); i += len(hash) {
			if bytes.Equal(tile[i:i+len(hash)], hash) {
				return true, x.indexed(n*wide + int64(i/len(hash)))
			}
		}
	}
	return false, nil
}

func (x *explaining) indexed(n int64) error {
	raw, _, err := ledger.EntryAt(x.ctx, x.Tx, x.p.Env, n)
	if err != nil {
		return request.UnlessNotFound(err)
	}
	e, err := ledger.ReadEntry(n, raw)
	if err == nil && x.p.Sees(licensing.CustomerID(e.Customer), licensing.ProductName(e.Product)) {
		x.entries = []v1.LogEntry{e}
	}
	return err
}
