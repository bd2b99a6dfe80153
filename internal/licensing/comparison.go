package licensing

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// A Trend is what a difference means for the customer.
type Trend string

// The trends. Neither means that the difference is neither more nor less, or is unknown.
const (
	Gain    Trend = "gain"
	Loss    Trend = "loss"
	Neither Trend = "change"
)

// TrendOf compares numbers before and after, where more is better. Nil means that
// there is no number.
func TrendOf[T cmp.Ordered](was, is *T) Trend {
	switch {
	case was == nil || is == nil || *was == *is:
		return Neither
	case *is > *was:
		return Gain
	}
	return Loss
}

// A Difference is one thing that changes for a license. What names it, such as
// feature export or pool seats capacity. From and To are empty if the thing is absent.
type Difference struct {
	What  string `json:"what"`
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Trend Trend  `json:"trend"`
}

// String writes the difference for people: pool seats capacity: 5 → 10.
func (d Difference) String() string {
	switch {
	case d.From == "":
		return d.What + ": new, " + d.To
	case d.To == "":
		return d.What + ": gone, was " + d.From
	}
	return d.What + ": " + d.From + " → " + d.To
}

// An Effect is the effect of a change on one license.
type Effect struct {
	License   LicenseID    `json:"license"`
	Customer  CustomerID   `json:"customer"`
	Changes   []Difference `json:"changes"`
	Shortages []Shortage   `json:"shortages,omitempty"`
}

// Gains reports whether the license gets more of anything;
// a change can do both.
func (e Effect) Gains() bool { return e.has(Gain) }

// Loses reports whether the license gets less of anything.
func (e Effect) Loses() bool { return e.has(Loss) }

func (e Effect) has(t Trend) bool {
	return slices.ContainsFunc(e.Changes, func(d Difference) bool { return d.Trend == t })
}

// Compare returns what changes for a license at now between two sets of terms, and
// which pools have fewer units than are in use. Held is units by pool.
func Compare(before, after Terms, held map[string]int64, now time.Time) Effect {
	c := comparison{}
	c.text("status", string(before.Status), string(after.Status))
	c.text("plan", string(before.Plan), string(after.Plan))
	c.text("edition", before.Edition, after.Edition)
	c.end("term end", before.End, after.End)
	c.end("maintenance", before.Maintenance, after.Maintenance)
	amounts(&c, "renewal grace", before.RenewalGrace, after.RenewalGrace)
	c.rule(before.Rule, after.Rule)
	c.features("feature", before.Features, after.Features, now)
	c.features("fallback", before.Fallback, after.Fallback, now)
	c.pools(before.Pools, after.Pools)
	c.meters(before.Meters, after.Meters)
	c.documents(before.Documents, after.Documents)
	return Effect{License: after.License, Customer: after.Customer, Changes: c.all, Shortages: Shortages(after, held)}
}

type comparison struct{ all []Difference }

func (c *comparison) add(what, from, to string, trend Trend) {
	if from != to {
		c.all = append(c.all, Difference{What: what, From: from, To: to, Trend: trend})
	}
}

func (c *comparison) text(what, from, to string) { c.add(what, from, to, Neither) }

// end compares ends; never is the latest.
func (c *comparison) end(what string, from, to time.Time) {
	if from.Equal(to) {
		return
	}
	words := func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return stamp(t)
	}
	trend := Loss
	if to.IsZero() || !from.IsZero() && to.After(from) {
		trend = Gain
	}
	c.add(what, words(from), words(to), trend)
}

// amounts compares amounts of which more is better.
func amounts[T interface {
	cmp.Ordered
	fmt.Stringer
}](c *comparison, what string, from, to T) {
	c.add(what, from.String(), to.String(), TrendOf(&from, &to))
}

func (c *comparison) features(kind string, before, after map[string]Feature, now time.Time) {
	for _, name := range names(before, after) {
		from, to := before[name].At(now), after[name].At(now)
		c.add(kind+" "+name, from.String(), to.String(), trendOfValue(from, to))
		if !from.IsZero() && !to.IsZero() {
			c.end(kind+" "+name+" until", before[name].Until, after[name].Until)
		}
	}
}

// rule compares the terms that a renewal would add.
func (c *comparison) rule(from, to TermRule) {
	length := func(l Length, without string) (string, int64) {
		if l.IsZero() {
			return without, NoLimit
		}
		return l.String(), l.Mean()
	}
	was, fromMean := length(from.Length, "no end")
	is, toMean := length(to.Length, "no end")
	c.add("term length", was, is, TrendOf(&fromMean, &toMean))
	was, fromMean = length(from.Maintenance, "every release")
	is, toMean = length(to.Maintenance, "every release")
	c.add("term maintenance", was, is, TrendOf(&fromMean, &toMean))
	c.text("term perpetual", strconv.FormatBool(from.Perpetual), strconv.FormatBool(to.Perpetual))
	c.text("term start", string(from.Start), string(to.Start))
	c.text("term renewal", string(from.Renewal), string(to.Renewal))
	c.text("term once", cmp.Or(string(from.Once), "no limit"), cmp.Or(string(to.Once), "no limit"))
	c.text("term trial", strconv.FormatBool(from.Trial), strconv.FormatBool(to.Trial))
}

// trendOfValue compares values: on is more than off, a larger number is more than a
// smaller one, and anything is more than nothing.
func trendOfValue(from, to license.Value) Trend {
	if from.On() != to.On() {
		a, b := worth(from), worth(to)
		return TrendOf(&a, &b)
	}
	was, isInt := from.Int()
	is, same := to.Int()
	if isInt && same {
		return TrendOf(&was, &is)
	}
	return Neither
}

func worth(v license.Value) int { return btoi(v.On()) }

func (c *comparison) pools(before, after map[string]Pool) {
	for _, name := range names(before, after) {
		from, had := before[name]
		to, has := after[name]
		what := "pool " + name
		if !had || !has {
			c.presence(what, had, Counted(from.Capacity, "unit"), Counted(to.Capacity, "unit"))
			continue
		}
		numbers(c, what+" capacity", from.Capacity, to.Capacity)
		numbers(c, what+" overdraft", from.Overdraft.Of(from.Capacity), to.Overdraft.Of(to.Capacity))
		if !from.Overdraft.IsZero() && !to.Overdraft.IsZero() {
			was, is := from.Overdraft.longest(), to.Overdraft.longest()
			c.add(what+" overdraft for", orEndless(from.Overdraft.For), orEndless(to.Overdraft.For), TrendOf(&was, &is))
		}
		amounts(c, what+" borrow", from.Borrow, to.Borrow)
		amounts(c, what+" grace", from.Grace, to.Grace)
		c.text(what+" lease", orEndless(from.Lease), orEndless(to.Lease))
		c.text(what+" holder", from.Holder, to.Holder)
		sharing, shares := from.Share == ShareHolder, to.Share == ShareHolder
		c.flag(what+" share", string(from.Share), string(to.Share), sharing, shares)
		c.text(what+" show_holders", strconv.FormatBool(from.ShowHolders), strconv.FormatBool(to.ShowHolders))
		amounts(c, what+" recall", from.RecallGrace(), to.RecallGrace())
		c.full(what, from.Full, to.Full)
		if from.Full == FullQueue && to.Full == FullQueue {
			amounts(c, what+" queue wait", cmp.Or(from.Queue.Wait, MaxWait), cmp.Or(to.Queue.Wait, MaxWait))
			numbers(c, what+" queue max", cmp.Or(from.Queue.Max, DefaultQueue), cmp.Or(to.Queue.Max, DefaultQueue))
		}
		// If fewer components must match, more machines count as the same one.
		fewer, more := -from.Match.Need, -to.Match.Need
		trend := TrendOf(&fewer, &more)
		if from.Match.Need == 0 || to.Match.Need == 0 || from.Match.Of != to.Match.Of {
			trend = Neither
		}
		c.add(what+" match", from.Match.words(), to.Match.words(), trend)
	}
}

func (c *comparison) meters(before, after map[string]Meter) {
	for _, name := range names(before, after) {
		from, had := before[name]
		to, has := after[name]
		what := "meter " + name
		if !had || !has {
			c.presence(what, had, from.quota(), to.quota())
			continue
		}
		scale := max(from.Scale, to.Scale)
		was, is := from.at(scale), to.at(scale)
		if from.Unit != to.Unit || from.Per != to.Per {
			c.text(what+" quota", from.quota(), to.quota())
		} else {
			c.add(what+" quota", from.quota(), to.quota(), TrendOf(&was.Quota, &is.Quota))
		}
		c.text(what+" scale", Counted(from.Scale, "decimal place"), Counted(to.Scale, "decimal place"))
		hard, limit := was.HardLimit(), is.HardLimit()
		c.add(what+" hard", was.limit(hard), is.limit(limit), TrendOf(&hard, &limit))
		c.text(what+" anchor", string(from.Anchor)+" in "+from.Zone, string(to.Anchor)+" in "+to.Zone)
		c.text(what+" soft", was.soft(), is.soft())
		c.text(what+" overage", strconv.FormatBool(from.Overage), strconv.FormatBool(to.Overage))
		c.full(what, from.Full, to.Full)
	}
}

// full compares what happens when nothing remains: anything is better than a denial.
func (c *comparison) full(what string, from, to Full) {
	c.flag(what+" full", string(from), string(to), from != FullDeny, to != FullDeny)
}

// flag compares something that is better to have than to lack.
func (c *comparison) flag(what, from, to string, with, has bool) {
	was, is := btoi(with), btoi(has)
	c.add(what, from, to, TrendOf(&was, &is))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// orEndless writes a span; zero has no end.
func orEndless(s Span) string {
	if s == 0 {
		return "no end"
	}
	return s.String()
}

// longest returns how long an overdraft lasts, for comparing.
func (o Overdraft) longest() int64 {
	if o.For == 0 {
		return NoLimit
	}
	return int64(o.For)
}

func (m Match) words() string {
	if m.Need == 0 {
		return "the holder's id"
	}
	return fmt.Sprintf("%d of %d", m.Need, m.Of)
}

// presence adds something that appeared or disappeared.
func (c *comparison) presence(what string, had bool, from, to string) {
	if had {
		c.add(what, from, "", Loss)
		return
	}
	c.add(what, "", to, Gain)
}

func (m Meter) quota() string { return m.amount(m.Quota) + " per " + string(m.Per) }

// soft writes the soft limit as the plan states it.
func (m Meter) soft() string {
	switch {
	case m.Soft.IsZero():
		return "none"
	case m.Soft.Percent != 0:
		return fmt.Sprint(m.Soft.Percent, "%")
	}
	return m.amount(m.Soft.Amount)
}

func (m Meter) limit(n int64) string {
	if n == NoLimit {
		return "no limit"
	}
	return m.amount(n)
}

func (c *comparison) documents(from, to Documents) {
	amounts(c, "documents life", from.Life, to.Life)
	amounts(c, "documents grace", from.Grace, to.Grace)
	amounts(c, "documents fallback", from.Fallback, to.Fallback)
	c.text("documents refresh", from.Refresh.String(), to.Refresh.String())
	c.text("documents stale", from.Stale.String(), to.Stale.String())
}

func numbers(c *comparison, what string, from, to int64) {
	c.add(what, fmt.Sprint(from), fmt.Sprint(to), TrendOf(&from, &to))
}

// names returns the keys of both maps, in order.
func names[V any](a, b map[string]V) []string {
	all := slices.Collect(maps.Keys(a))
	all = slices.AppendSeq(all, maps.Keys(b))
	slices.SortFunc(all, strings.Compare)
	return slices.Compact(all)
}
