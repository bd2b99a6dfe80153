package main

import (
	"cmp"

	"copyhold.dev/sdk/license"
)

// A Ladder is one document with additional facts, at several times. The expected states were
// written by hand.
type Ladder struct {
	Name    string           `json:"name"`
	Why     string           `json:"why"`
	License *license.License `json:"license,omitempty"` // or
	Lease   *license.Lease   `json:"lease,omitempty"`
	Facts   *LadderFacts     `json:"facts,omitempty"`
	Steps   []LadderStep     `json:"steps"`
}

// LadderFacts are the facts that are not in the document.
type LadderFacts struct {
	Machine   map[string]string   `json:"machine,omitempty"` // components of the machine that the program runs on
	Changed   int64               `json:"changed,omitempty"` // when the machine was first seen with them
	Clock     bool                `json:"clock_in_doubt,omitempty"`
	Released  int64               `json:"released,omitempty"`
	Revoked   *license.Revocation `json:"revoked,omitempty"`
	Overrides []license.Override  `json:"overrides,omitempty"`
	Bulletins []license.Bulletin  `json:"bulletins,omitempty"`
}

// A LadderStep is the expected result at one time.
type LadderStep struct {
	Now      int64                    `json:"now"`
	State    license.State            `json:"state"`
	Cause    license.Cause            `json:"cause,omitempty"`
	Code     string                   `json:"code"`
	Next     license.State            `json:"next,omitempty"`
	At       int64                    `json:"at,omitempty"`
	Features map[string]LadderFeature `json:"features,omitempty"`
}

// A LadderFeature is the expected value of a feature at that time.
type LadderFeature struct {
	Outcome license.Outcome `json:"outcome"`
	Code    string          `json:"code"`
	Value   *license.Value  `json:"value,omitempty"` // if allowed
	NextAt  int64           `json:"next_at,omitempty"`
}

// at returns a step without features.
func at(now int64, s license.State, why license.Cause, code string, next license.State, nextAt int64) LadderStep {
	return LadderStep{Now: now, State: s, Cause: why, Code: code, Next: next, At: nextAt}
}

const (
	valid, stale, grace, degraded, denied, none    = license.StateValid, license.StateStale, license.StateGrace, license.StateDegraded, license.StateDenied, license.StateNone
	term, refresh, binding, clock, revoked, upheld = license.CauseTerm, license.CauseRefresh, license.CauseBinding, license.CauseClock, license.CauseRevoked, license.CauseOverride
	hour                                           = 60 * 60
)

// climber is issued at 10 and has its dates at 100, 200, 300, 400, and 500.
func climber(edits ...func(*license.License)) *license.License {
	l := &license.License{
		Claims: license.Claims{
			Issuer: issuer, Audience: []string{"lathe"}, Subject: "lic_1", IssuedAt: 10, NotBefore: 10, Expires: 400, ID: "doc_1", Version: license.Version,
			Seq: license.Seq{Epoch: 1, Counter: 5},
		},
		Dates:    license.Dates{Refresh: [2]int64{50, 100}, Stale: 200, Due: 300, Degraded: 500},
		Customer: "cus_1", Plan: "studio", Revision: "r1", Status: license.Active,
	}
	for _, edit := range edits {
		edit(l)
	}
	return l
}

func lasting(l *license.License) {
	l.Dates = license.Dates{Refresh: [2]int64{day, 2 * day}, Stale: 10 * day, Due: 20 * day, Degraded: 40 * day}
	l.Expires = 30 * day
}

func subscription(l *license.License) {
	l.Term = license.Term{Start: 10, End: 150, RenewalGraceEnd: 250}
}

func suspended(l *license.License) { l.Status = license.Suspended }

// bound requires two of a machine's board, drive, and system. The system id is copied along with a
// disk.
func bound(l *license.License) {
	l.Binding = &license.Binding{Kind: "machine", Holder: "m_1", Need: 2, Components: ownMachine()}
}

func ownMachine() map[string]string {
	return map[string]string{license.ComponentBoard: "0a", license.ComponentDrive: "0b", license.ComponentSystem: "0c"}
}

func machineWith(board, drive string) *LadderFacts {
	m := ownMachine()
	m[license.ComponentBoard], m[license.ComponentDrive] = board, drive
	return &LadderFacts{Machine: m, Changed: 50}
}

func revokedAt(r license.Revocation) *LadderFacts {
	r.Subject, r.At = cmp.Or(r.Subject, "lic_1"), 50
	return &LadderFacts{Revoked: &r}
}

// exception begins at 350; its own grace begins at 600 and its fallback at 700.
func exception() (license.Claims, license.Dates) {
	return license.Claims{
			Issuer: issuer, Audience: []string{"lathe"}, Subject: "lic_1", IssuedAt: 350, NotBefore: 350, Expires: 700, ID: "doc_2", Version: license.Version,
			Seq: license.Seq{Epoch: 1, Counter: 1},
		},
		license.Dates{Refresh: [2]int64{600, 600}, Stale: 600, Due: 600, Degraded: 800}
}

func overridden() *LadderFacts {
	c, d := exception()
	return &LadderFacts{Overrides: []license.Override{{Claims: c, Dates: d, Reason: "their firewall", Approved: []string{"ada"}}}}
}

func bulletined(edit func(*license.Bulletin)) *LadderFacts {
	c, d := exception()
	c.Subject = ""
	b := license.Bulletin{Claims: c, Dates: d, Reason: "data centre down"}
	edit(&b)
	return &LadderFacts{Bulletins: []license.Bulletin{b}}
}

// ladders returns the vectors of the ladder.
func ladders() []Ladder {
	all := append(ladderDates(), ladderTerms()...)
	all = append(all, ladderFacts()...)
	all = append(all, ladderExceptions()...)
	return append(append(all, ladderFeatures()), ladderLeases()...)
}

func ladderDates() []Ladder {
	return []Ladder{
		{Name: "the whole ladder", Why: "each date in the document is one step", License: climber(), Steps: []LadderStep{
			at(-5, valid, "", license.CodeOK, stale, 200), // a time before the issue counts as the issue
			at(10, valid, "", license.CodeOK, stale, 200),
			at(199, valid, "", license.CodeOK, stale, 200),
			at(200, stale, refresh, license.CodeStale, grace, 300),
			at(300, grace, refresh, license.CodeGrace, degraded, 400),
			at(399, grace, refresh, license.CodeGrace, degraded, 400),
			at(400, degraded, refresh, license.CodeDegraded, denied, 500),
			at(500, denied, refresh, license.CodeExpired, "", 0),
			at(5000, denied, refresh, license.CodeExpired, "", 0),
		}},
		{Name: "not begun", Why: "nbf is later than iat", License: climber(func(l *license.License) { l.NotBefore = 20 }), Steps: []LadderStep{
			at(15, none, "", license.CodeNotStarted, valid, 20), at(20, valid, "", license.CodeOK, stale, 200),
		}},
		{Name: "no grace at all", Why: "dates that fall together are skipped", Steps: []LadderStep{
			at(199, valid, "", license.CodeOK, denied, 200), at(200, denied, refresh, license.CodeExpired, "", 0),
		}, License: climber(func(l *license.License) { l.Stale, l.Due, l.Expires, l.Degraded = 200, 200, 200, 200 })},
		{Name: "the clock is in doubt", Why: "it spends grace and is told as the cause; nobody is locked out by it", License: climber(), Facts: &LadderFacts{Clock: true}, Steps: []LadderStep{
			at(20, stale, clock, license.CodeClock, grace, 300), at(300, grace, clock, license.CodeGrace, degraded, 400), at(450, degraded, clock, license.CodeDegraded, denied, 500),
		}},
	}
}

func ladderTerms() []Ladder {
	maintained := func(l *license.License) { l.Term.Maintenance = 90 }
	return []Ladder{
		{Name: "term not begun", Why: "the term starts after the document", License: climber(func(l *license.License) { l.Term.Start = 100 }), Steps: []LadderStep{
			at(99, none, term, license.CodeNotStarted, valid, 100), at(100, valid, "", license.CodeOK, stale, 200),
		}},
		{Name: "subscription", Why: "renewal grace, then the fallback to the document's end", License: climber(subscription), Steps: []LadderStep{
			at(149, valid, "", license.CodeOK, grace, 150), at(150, grace, term, license.CodeRenewalGrace, degraded, 250),
			at(250, degraded, term, license.CodeTermEnded, denied, 500), at(500, denied, term, license.CodeTermEnded, "", 0),
		}},
		{Name: "trial", Why: "a term without grace", License: climber(func(l *license.License) { l.Term = license.Term{Start: 10, End: 250, Trial: true} }), Steps: []LadderStep{
			at(249, stale, refresh, license.CodeStale, degraded, 250), at(250, degraded, term, license.CodeTermEnded, denied, 500),
		}},
		{Name: "maintained build", Why: "released on the last day", License: climber(maintained), Facts: &LadderFacts{Released: 90}, Steps: []LadderStep{at(100, valid, "", license.CodeOK, stale, 200)}},
		{Name: "build that does not say", Why: "released is 0", License: climber(maintained), Steps: []LadderStep{at(100, valid, "", license.CodeOK, stale, 200)}},
		{Name: "build after maintenance", Why: "released a second later", License: climber(maintained), Facts: &LadderFacts{Released: 91}, Steps: []LadderStep{at(100, denied, term, license.CodeNotMaintained, "", 0)}},
		{Name: "suspended", Why: "the document's own status", License: climber(suspended), Steps: []LadderStep{at(60, denied, revoked, license.CodeSuspended, "", 0)}},
		{Name: "revoked status", Why: "the document's own status", License: climber(func(l *license.License) { l.Status = license.Revoked }), Steps: []LadderStep{at(60, denied, revoked, license.CodeRevoked, "", 0)}},
	}
}

func ladderFacts() []Ladder {
	same := []LadderStep{at(60, valid, "", license.CodeOK, stale, 200)}
	lost := []LadderStep{
		at(50, grace, binding, license.CodeBindingMismatch, degraded, 50+72*hour), at(49+72*hour, grace, binding, license.CodeBindingMismatch, degraded, 50+72*hour),
		at(50+72*hour, degraded, binding, license.CodeBindingMismatch, denied, 40*day), at(29*day, degraded, binding, license.CodeBindingMismatch, denied, 40*day),
	}
	long := climber(lasting, bound)
	return []Ladder{
		{Name: "bound, the same machine", Why: "all components agree", License: climber(bound), Facts: machineWith("0a", "0b"), Steps: same},
		{Name: "bound, another drive", Why: "two of three agree", License: climber(bound), Facts: machineWith("0a", "ff"), Steps: same},
		{Name: "bound, another machine", Why: "one of three agrees: 72 hours of grace, then the fallback, never a denial", License: long, Facts: machineWith("ee", "ff"), Steps: lost},
		{Name: "bound, a copied disk", Why: "need is met by what the disk carries, and no hardware agrees", Facts: machineWith("ee", "ff"), Steps: lost, License: climber(lasting, bound, func(l *license.License) {
			l.Binding.Need = 1
		})},
		{Name: "bound, another machine, short document", Why: "the document's own dates come first", License: climber(bound), Facts: machineWith("ee", "ff"), Steps: []LadderStep{at(60, grace, binding, license.CodeBindingMismatch, degraded, 400)}},
		{Name: "worst cause wins", Why: "a binding's grace beside the fallback of a clock in doubt", License: climber(bound), Steps: []LadderStep{at(450, degraded, clock, license.CodeDegraded, denied, 500)}, Facts: &LadderFacts{
			Machine: map[string]string{"board": "ee"}, Changed: 50, Clock: true,
		}},
		{Name: "revoked", Why: "at its time, not before", License: climber(), Facts: revokedAt(license.Revocation{}), Steps: []LadderStep{at(49, valid, "", license.CodeOK, denied, 50), at(50, denied, revoked, license.CodeRevoked, "", 0)}},
		{Name: "revoked to the fallback", Why: "fallback is set", License: climber(), Facts: revokedAt(license.Revocation{Fallback: true}), Steps: []LadderStep{at(50, degraded, revoked, license.CodeRevoked, denied, 500)}},
		{Name: "revoked at this seq", Why: "documents up to seq are meant", License: climber(), Facts: revokedAt(license.Revocation{Seq: license.Seq{Epoch: 1, Counter: 5}}), Steps: []LadderStep{at(60, denied, revoked, license.CodeRevoked, "", 0)}},
		{Name: "reinstated since", Why: "this document has a higher seq", License: climber(), Facts: revokedAt(license.Revocation{Seq: license.Seq{Epoch: 1, Counter: 4}}), Steps: same},
	}
}

func ladderExceptions() []Ladder {
	held := []LadderStep{at(450, valid, upheld, license.CodeOK, grace, 600)}
	alone := []LadderStep{at(450, degraded, refresh, license.CodeDegraded, denied, 500)}
	other := func(edit func(*license.License)) *license.License { return climber(edit) }
	return []Ladder{
		{Name: "an override", Why: "the later of both dates, from its nbf on", License: climber(), Facts: overridden(), Steps: []LadderStep{
			at(349, grace, refresh, license.CodeGrace, degraded, 400), held[0], at(650, grace, upheld, license.CodeGrace, degraded, 700),
			at(800, denied, refresh, license.CodeExpired, "", 0),
		}},
		{Name: "an override of another license", Why: "sub differs", License: other(func(l *license.License) { l.Subject = "lic_2" }), Facts: overridden(), Steps: alone},
		{Name: "an override of another issuer", Why: "iss differs", License: other(func(l *license.License) { l.Issuer = "urn:copyhold:other:production" }), Facts: overridden(), Steps: alone},
		{Name: "an override after the term", Why: "it holds the term up, too", License: climber(subscription), Facts: overridden(), Steps: held},
		{Name: "an override of a suspended license", Why: "it reinstates nothing", License: climber(suspended), Facts: overridden(), Steps: []LadderStep{at(450, denied, revoked, license.CodeSuspended, "", 0)}},
		{Name: "a bulletin for all", Why: "empty lists select everything", License: climber(), Facts: bulletined(func(*license.Bulletin) {}), Steps: held},
		{Name: "a bulletin for the plan", Why: "the plan is named", License: climber(), Facts: bulletined(func(b *license.Bulletin) { b.Plans = []string{"basic", "studio"} }), Steps: held},
		{Name: "a bulletin for another plan", Why: "another is named", License: climber(), Facts: bulletined(func(b *license.Bulletin) { b.Plans = []string{"basic"} }), Steps: alone},
		{Name: "a bulletin for another customer", Why: "another is named", License: climber(), Facts: bulletined(func(b *license.Bulletin) { b.Customers = []string{"cus_2"} }), Steps: alone},
		{Name: "a bulletin for another license", Why: "another is named", License: climber(), Facts: bulletined(func(b *license.Bulletin) { b.Licenses = []string{"lic_2"} }), Steps: alone},
		{Name: "a bulletin for another product", Why: "no product in common", License: climber(), Facts: bulletined(func(b *license.Bulletin) { b.Audience = []string{"mill"} }), Steps: alone},
	}
}

func granted(code string, v license.Value, nextAt int64) LadderFeature {
	return LadderFeature{Outcome: license.Allowed, Code: code, Value: &v, NextAt: nextAt}
}

func refused(code string, nextAt int64) LadderFeature {
	return LadderFeature{Outcome: license.Denied, Code: code, NextAt: nextAt}
}

func ladderFeatures() Ladder {
	on, off, layers := license.BoolValue(true), license.BoolValue(false), license.IntValue
	step := func(s LadderStep, features map[string]LadderFeature) LadderStep {
		s.Features = features
		return s
	}
	return Ladder{
		Name: "features on the ladder", Why: "the full set, the fallback or nothing, by the state; a feature has an end of its own, and may be worth less after it",
		License: climber(func(l *license.License) {
			l.Features = map[string]license.Feature{
				"export": {Value: on}, "off": {Value: off}, "beta": {Value: on, Until: 150}, "layers": {Value: layers(50), Until: 150, Then: layers(10)},
			}
			l.Fallback = map[string]license.Feature{"layers": {Value: layers(5)}}
		}),
		Steps: []LadderStep{
			step(at(20, valid, "", license.CodeOK, stale, 200), map[string]LadderFeature{
				"export": granted(license.CodeOK, on, 200), "layers": granted(license.CodeOK, layers(50), 150), "beta": granted(license.CodeOK, on, 150),
				"off": refused(license.CodeFeatureAbsent, 200), "missing": refused(license.CodeFeatureAbsent, 200),
			}),
			step(at(149, valid, "", license.CodeOK, stale, 200), map[string]LadderFeature{"beta": granted(license.CodeOK, on, 150)}),
			step(at(150, valid, "", license.CodeOK, stale, 200), map[string]LadderFeature{"layers": granted(license.CodeOK, layers(10), 200), "beta": refused(license.CodeFeatureEnded, 200)}),
			step(at(210, stale, refresh, license.CodeStale, grace, 300), map[string]LadderFeature{"export": granted(license.CodeStale, on, 300)}),
			step(at(310, grace, refresh, license.CodeGrace, degraded, 400), map[string]LadderFeature{"export": granted(license.CodeGrace, on, 400)}),
			step(at(410, degraded, refresh, license.CodeDegraded, denied, 500), map[string]LadderFeature{
				"export": refused(license.CodeDegraded, 500), "layers": granted(license.CodeFallback, layers(5), 500),
			}),
			step(at(510, denied, refresh, license.CodeExpired, "", 0), map[string]LadderFeature{
				"export": refused(license.CodeExpired, 0), "layers": refused(license.CodeExpired, 0),
			}),
		},
	}
}

func ladderLeases() []Ladder {
	lease := func(edit func(*license.Lease)) *license.Lease {
		l := &license.Lease{
			Claims: climber().Claims, Dates: license.Dates{Refresh: [2]int64{50, 100}, Stale: 200, Due: 300, Degraded: 400},
			Lease: "lse_1", Pool: "seats", Units: 1, Holder: "ada", Generation: 1,
		}
		edit(l)
		return l
	}
	as := func(*license.Lease) {}
	return []Ladder{
		{Name: "a lease", Why: "the same ladder; units have no fallback", Lease: lease(as), Steps: []LadderStep{
			at(10, valid, "", license.CodeOK, stale, 200), at(200, stale, refresh, license.CodeStale, grace, 300),
			at(300, grace, refresh, license.CodeGrace, denied, 400), at(400, denied, refresh, license.CodeExpired, "", 0),
		}},
		{Name: "a lease of another machine", Why: "a binding's grace, too", Facts: machineWith("ee", "ff"), Lease: lease(func(l *license.Lease) { l.Binding = climber(bound).Binding }), Steps: []LadderStep{
			at(60, grace, binding, license.CodeBindingMismatch, denied, 400),
		}},
		{Name: "a lease whose license is revoked", Why: "the revocation of its sub", Lease: lease(as), Facts: revokedAt(license.Revocation{}), Steps: []LadderStep{
			at(49, valid, "", license.CodeOK, denied, 50), at(50, denied, revoked, license.CodeRevoked, "", 0),
		}},
		{Name: "a lease that is revoked", Why: "the revocation of its own name", Lease: lease(as), Facts: revokedAt(license.Revocation{Subject: "lse_1"}), Steps: []LadderStep{
			at(60, denied, revoked, license.CodeRevoked, "", 0),
		}},
	}
}
