package licensing

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/sdk/license"
)

func drawTerms(t *rapid.T, now time.Time) Terms {
	span := func(what string, least int64) Span {
		return Span(rapid.Int64Range(least, 40*86400).Draw(t, what))
	}
	d := Documents{Refresh: span("refresh", 1), Grace: span("grace", 0), Fallback: span("fallback", 0)}
	d.Stale = d.Refresh + span("stale", 0)
	d.Life = d.Stale + span("life", 0)
	terms := Terms{License: "lic_1", Status: Active, Start: now.AddDate(-1, 0, 0), Documents: d, RenewalGrace: span("renewal grace", 0)}
	if rapid.Bool().Draw(t, "ends") {
		terms.End = now.Add(time.Duration(rapid.Int64Range(-60*86400, 400*86400).Draw(t, "end")) * time.Second)
	}
	if rapid.Bool().Draw(t, "changes") {
		terms.Until = now.Add(time.Duration(rapid.Int64Range(1, 40*86400).Draw(t, "until")) * time.Second)
	}
	return terms
}

func TestTheDatesOfADocumentAreInOrderWhateverIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := drawTime(t, "now")
		terms := drawTerms(t, now)
		doc, err := terms.Document(now, nil)
		limit := terms.Limit()
		if err != nil {
			if CodeOf(err) != Gone || limit.IsZero() || now.Before(limit) {
				t.Fatalf("refused though something is left: %v", err)
			}
			return
		}
		dates := []int64{now.Unix(), doc.Refresh[0], doc.Refresh[1], doc.Stale, doc.Due, doc.Expires, doc.Degraded}
		if !slices.IsSorted(dates) || doc.Expires <= doc.NotBefore {
			t.Fatalf("dates are not in order: %v", dates)
		}
		if !limit.IsZero() && doc.Expires > max(limit.Unix(), now.Unix()+1) {
			t.Fatalf("full function until %d, but term and grace end at %d", doc.Expires, limit.Unix())
		}
	})
}

func TestALongerTermOrLongerDocumentsNeverShortenADate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := drawTime(t, "now")
		a := drawTerms(t, now)
		b := a
		more := rapid.Int64Range(0, 86400).Draw(t, "more")
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			if !b.End.IsZero() {
				b.End = b.End.Add(time.Duration(more) * time.Second)
			}
		case 1:
			b.Documents.Life += Span(more)
		case 2:
			b.Documents.Grace += Span(more)
		case 3:
			b.Documents.Fallback += Span(more)
		}
		less, err := a.Document(now, nil)
		if err != nil {
			return
		}
		longer, err := b.Document(now, nil)
		if err != nil {
			t.Fatalf("with more, nothing is left: %v", err)
		}
		if longer.Due < less.Due || longer.Expires < less.Expires || longer.Degraded < less.Degraded || longer.Stale < less.Stale {
			t.Fatalf("%+v became %+v", less.Dates, longer.Dates)
		}
	})
}

func TestServerAndDocumentSayTheSameStateWhileTheDocumentIsFresh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := drawTime(t, "now")
		terms := drawTerms(t, now)
		terms.Status = rapid.SampledFrom([]Status{Active, Suspended, Revoked}).Draw(t, "status")
		doc, err := terms.Document(now, nil)
		if err != nil {
			if d := terms.InForce(now); d.State != license.StateDenied && terms.Limit().Add(terms.Documents.Fallback.Duration()).Sub(now) > 2*time.Second {
				t.Fatalf("no document, but the server says %+v", d)
			}
			return
		}
		d, s := terms.InForce(now), doc.Standing(license.Facts{}, now.Unix())
		if d.State != s.State {
			t.Fatalf("the server says %s (%s), the document %s (%s)", d.State, d.Code, s.State, s.Code)
		}
	})
}

func TestAFastPlanWalksTheLadderInSeconds(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	terms := Terms{License: "lic_1", Status: Active, Start: now, Documents: Documents{Life: 20, Refresh: 5, Stale: 10, Grace: 15, Fallback: 15}}
	doc, err := terms.Document(now, nil)
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[int64]license.State{0: license.StateValid, 9: license.StateValid, 10: license.StateStale, 20: license.StateGrace, 34: license.StateGrace, 35: license.StateDegraded, 49: license.StateDegraded, 50: license.StateDenied} {
		if s := doc.Standing(license.Facts{}, now.Unix()+after); s.State != want {
			t.Errorf("after %d s: %+v", after, s)
		}
	}
}

func TestADocumentSaysFeaturesPoolsAndMeters(t *testing.T) {
	now := at("2026-01-15T12:00:00Z")
	rev, l := issued(t, studio(), now)
	terms := mustCompile(t, rev, l, now)
	january := Window{Start: at("2025-12-31T23:00:00Z"), End: at("2026-01-31T23:00:00Z")}
	doc, err := terms.Document(now, map[string]Used{"calls": {Window: january, Total: 42}})
	if err != nil {
		t.Fatal(err)
	}
	if doc.Subject != "lic_1" || doc.Plan != "studio" || doc.Revision != string(rev.ID) || doc.Edition != "pro" || doc.Customer != "cus_1" || doc.Status != license.Active {
		t.Errorf("identity: %+v", doc)
	}
	if f := doc.Features["beta"]; f.Until != now.AddDate(0, 0, 30).Unix() || !f.Value.On() {
		t.Errorf("beta is %+v", f)
	}
	if doc.Fallback["max_layers"].Value != num(5) {
		t.Errorf("fallback is %v", doc.Fallback)
	}
	if p := doc.Pools["seats"]; p != (license.Pool{Capacity: 5, Holder: "user", Overdraft: 1, Borrow: 30 * 86400, Full: "queue"}) {
		t.Errorf("seats are %+v", p)
	}
	want := license.Meter{Unit: "call", Quota: 1000, Soft: 800, Hard: 1500, Per: "month", PeriodStart: january.Start.Unix(), PeriodEnd: january.End.Unix(), Used: 42, Full: "fallback"}
	if m := doc.Meters["calls"]; m != want {
		t.Errorf("calls are %+v, want %+v", m, want)
	}
	february := at("2026-02-01T00:00:00Z")
	if doc, err = terms.Document(february, map[string]Used{"calls": {Window: january, Total: 42}}); err != nil || doc.Meters["calls"].Used != 0 {
		t.Errorf("in a new month %d are used, %v", doc.Meters["calls"].Used, err)
	}
}

func TestAClientAsksAgainWhenItsTermsChange(t *testing.T) {
	now := at("2026-01-01T00:00:00Z")
	terms := Terms{License: "lic_1", Status: Active, Start: now, Documents: DefaultDocuments(), Until: now.Add(time.Hour)}
	doc, err := terms.Document(now, nil)
	if err != nil || doc.Refresh[0] != now.Unix()+3600 {
		t.Errorf("refresh %v, %v", doc.Refresh, err)
	}
}
