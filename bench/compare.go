package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"copyhold.dev/internal/store/storetest"
)

// comparePairs is the number of pairs in a comparison: four for each order of its three
// servers.
const comparePairs = 24

// slower is the slowdown that a comparison must exclude: 5 %.
const slower = 1.05

// A comparison compares one figure of two programs. A ratio is the time of the new program
// divided by the time of the old one, so 1.05 means 5 % slower, whatever the unit.
type comparison struct {
	Name     string   `json:"name"`
	Unit     string   `json:"unit"`
	Old      float64  `json:"old"`
	New      float64  `json:"new"`
	Slowdown estimate `json:"slowdown"`
	// Same compares the old program with itself in another process. It shows the noise of
	// this machine.
	Same   estimate `json:"same"`
	Target string   `json:"target"`
	Met    bool     `json:"met"`
}

// An estimate is the median of independent ratios, with bounds. The true median is below Low
// with a probability of at most 5 %, and above High with a probability of at most 5 %. If there
// are too few ratios for bounds, both are 0.
type estimate struct {
	Median float64   `json:"median"`
	Low    float64   `json:"low,omitempty"`
	High   float64   `json:"high,omitempty"`
	Pairs  []float64 `json:"pairs"`
}

// estimated bounds the median with the exact sign test, which assumes only that the ratios are
// independent. The number of n ratios below their true median is binomial with probability 1/2.
// So the k-th smallest ratio is above the median if fewer than k ratios are below it in 95 %
// of all cases.
func estimated(ratios []float64) estimate {
	e := estimate{Median: median(ratios), Pairs: slices.Clone(ratios)}
	n := len(ratios)
	below := math.Pow(0.5, float64(n)) // the probability that no ratio is below
	sum := 0.0
	for k := 1; k <= n; k++ {
		sum += below
		below *= float64(n-k+1) / float64(k)
		if sum >= 0.95 {
			sorted := slices.Sorted(slices.Values(ratios))
			e.Low, e.High = sorted[n-k], sorted[k-1]
			break
		}
	}
	return e
}

// A contest is a load that each of the compared servers runs.
type contest struct {
	figure      string // for -only
	name        string
	engine      string // "" is SQLite
	connections int
	work        func(m *measured, t *taker) func(int, *client, func(time.Duration)) error
}

func contests() []contest {
	turns := func(_ *measured, t *taker) func(int, *client, func(time.Duration)) error { return t.turn }
	validates := func(nonce bool) func(*measured, *taker) func(int, *client, func(time.Duration)) error {
		return func(m *measured, _ *taker) func(int, *client, func(time.Duration)) error {
			return validateTurn(m.credential, nonce)
		}
	}
	return []contest{
		{"validate", "validate with nonce", "", connections, validates(true)},
		{"validate", "validate without nonce", "", connections, validates(false)},
		{"hot-sqlite", "acquire and release, SQLite", "", connections, turns},
		{"alone", "one client alone, SQLite", "", 1, turns},
		{"hot-postgres", "acquire and release, PostgreSQL", "postgres", connections, turns},
	}
}

// The servers in a round: two of the old program and one of the new program.
const (
	oldServer = iota
	oldAgain
	newServer
	servers
)

// orders returns all orders in which a round can measure its servers.
func orders() [][servers]int {
	return [][servers]int{
		{oldServer, oldAgain, newServer}, {newServer, oldAgain, oldServer}, {oldAgain, newServer, oldServer},
		{oldServer, newServer, oldAgain}, {oldAgain, oldServer, newServer}, {newServer, oldServer, oldAgain},
	}
}

// A contestFigure is one number of an outcome.
type contestFigure struct {
	name    string
	unit    string
	inverse bool // more is faster
	of      func(o outcome, cpu time.Duration) float64
}

// figures returns the figures of a contest: the latency for a single client, or the throughput,
// latency, and processor time under load.
func (c contest) figures() []contestFigure {
	if c.connections == 1 {
		return []contestFigure{{c.name + ", p50", "us", false, func(o outcome, _ time.Duration) float64 { return float64(o.p50.Microseconds()) }}}
	}
	return []contestFigure{
		{c.name, "operations/s", true, func(o outcome, _ time.Duration) float64 { return o.perSecond }},
		{c.name + ", p99", "us", false, func(o outcome, _ time.Duration) float64 { return float64(o.p99.Microseconds()) }},
		{c.name + ", processor time", "us", false, func(o outcome, cpu time.Duration) float64 {
			return float64(cpu.Microseconds()) / float64(o.operations)
		}},
	}
}

// compare measures the program at old and the program of s in rounds. Each round starts two
// servers of the old program and one of the new one on empty databases, so that differences
// between processes of one program count as noise. It measures them one after another in a
// changing order.
func compare(ctx context.Context, s settings, old string) ([]comparison, error) {
	before := s
	before.binary = old
	programs := [servers]settings{before, before, s}
	var chosen []contest
	for _, c := range contests() {
		if strings.Contains(c.figure, s.only) {
			chosen = append(chosen, c)
		}
	}
	samples := map[string]*[servers][]float64{}
	for _, engine := range []string{"", "postgres"} {
		var here []contest
		for _, c := range chosen {
			if c.engine == engine {
				here = append(here, c)
			}
		}
		if len(here) == 0 {
			continue
		}
		if err := compareOn(ctx, engine, programs, here, samples); err != nil {
			return nil, err
		}
	}
	var out []comparison
	for _, c := range chosen {
		for _, f := range c.figures() {
			out = append(out, f.compared(samples[f.name]))
		}
	}
	return out, nil
}

func (f contestFigure) compared(values *[servers][]float64) comparison {
	against := func(server int) estimate {
		ratios := make([]float64, len(values[oldServer]))
		for i, old := range values[oldServer] {
			ratios[i] = values[server][i] / old
			if f.inverse {
				ratios[i] = old / values[server][i]
			}
		}
		return estimated(ratios)
	}
	c := comparison{
		Name: f.name, Unit: f.unit, Old: median(values[oldServer]), New: median(values[newServer]),
		Slowdown: against(newServer), Same: against(oldAgain), Target: fmt.Sprintf("at most %.2f", slower),
	}
	c.Met = c.Slowdown.High > 0 && c.Slowdown.High <= slower
	return c
}

// compareOn runs all rounds on one engine and adds the results to samples.
func compareOn(ctx context.Context, engine string, programs [servers]settings, contests []contest, samples map[string]*[servers][]float64) error {
	empty := func(int, int) (string, error) { return "", nil }
	if engine == "postgres" {
		database, stop, err := storetest.Server()
		if err != nil {
			return err
		}
		defer stop()
		empty = func(round, server int) (string, error) { return emptyDatabase(ctx, database, round, server) }
	}
	for round := range programs[newServer].pairs {
		fmt.Fprintf(programs[newServer].log, "round %d of %d on %s\n", round+1, programs[newServer].pairs, map[string]string{"": "SQLite", "postgres": "PostgreSQL"}[engine])
		if err := compareOnce(ctx, round, programs, empty, contests, samples); err != nil {
			return err
		}
	}
	return nil
}

// compareOnce runs one round: three new servers, and each contest on all of them.
func compareOnce(ctx context.Context, round int, programs [servers]settings, empty func(round, server int) (string, error),
	contests []contest, samples map[string]*[servers][]float64) error {
	var running [servers]*measured
	var takers [servers]*taker // one for each server, so that each server gets its own sequence of request ids
	for i, program := range programs {
		database, err := empty(round, i)
		if err != nil {
			return err
		}
		if running[i], err = program.serve(ctx, database, 10_000); err != nil {
			return err
		}
		defer running[i].end()
		takers[i] = &taker{credential: running[i].credential}
	}
	for _, c := range contests {
		var work [servers]func(int, *client, func(time.Duration)) error
		for i, m := range running {
			work[i] = c.work(m, takers[i])
			if _, err := drive(m.addr, c.connections, programs[i].span/4, work[i]); err != nil { // warm
				return fmt.Errorf("%s, %s: %w", c.name, programs[i].binary, err)
			}
		}
		for _, i := range orders()[round%len(orders())] {
			if err := ctx.Err(); err != nil {
				return err
			}
			o, cpu, err := running[i].drive(c.connections, programs[i].span, work[i])
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.name, programs[i].binary, err)
			}
			for _, f := range c.figures() {
				if samples[f.name] == nil {
					samples[f.name] = new([servers][]float64)
				}
				samples[f.name][i] = append(samples[f.name][i], f.of(o, cpu))
			}
		}
	}
	return nil
}

// emptyDatabase creates a database without tables on the server of the database URL and returns
// its URL. Each program creates its own tables.
func emptyDatabase(ctx context.Context, database string, round, server int) (string, error) {
	at, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	db, err := sql.Open("pgx", database)
	if err != nil {
		return "", err
	}
	defer db.Close()
	at.Path = fmt.Sprintf("/compare_%d_%d", round, server)
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+at.Path[1:])
	return at.String(), err
}

func printComparisons(w io.Writer, r report) {
	fmt.Fprintf(w, "%s, %d CPUs, time of new divided by time of old: median of %d pairs and upper bound (95 %%, exact sign test)\n\n",
		r.Go, r.CPUs, r.Pairs)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "figure\told\tnew\tunit\tslowdown\tat most\told over old\tat most\ttarget\tmet\t")
	for _, c := range r.Comparisons {
		met := "yes"
		if !c.Met {
			met = "NO"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.3f\t%s\t%.3f\t%s\t%s\t%s\t\n", c.Name, number(c.Old), number(c.New), c.Unit,
			c.Slowdown.Median, c.Slowdown.bound(), c.Same.Median, c.Same.bound(), c.Target, met)
	}
	t.Flush()
}

func (e estimate) bound() string {
	if e.High == 0 {
		return "too few"
	}
	return fmt.Sprintf("%.3f", e.High)
}
