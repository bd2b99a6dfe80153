// Command bench measures Copyhold against yardsticks in the same run. It measures both in
// interleaved pairs and reports the median of their ratios, so that a change in the machine's
// speed affects both. With -old, it compares two programs instead. It prints a table and writes
// bench.json. It drives the real binary over loopback and never fails because of a time.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A row is one figure, with that of the yardstick that ran interleaved with it.
type row struct {
	Name      string    `json:"name"`
	Unit      string    `json:"unit"`
	Ours      float64   `json:"ours"`
	Yardstick float64   `json:"yardstick"`
	Ratio     float64   `json:"ratio"`
	Pairs     []float64 `json:"pairs,omitempty"`
	Target    string    `json:"target"`
	Met       bool      `json:"met"`
	Allocs    *float64  `json:"allocs,omitempty"`
	Note      string    `json:"note,omitempty"`
}

type report struct {
	At    time.Time `json:"at"`
	Go    string    `json:"go"`
	CPUs  int       `json:"cpus"`
	Pairs int       `json:"pairs"`
	Rows  []row     `json:"rows,omitempty"`
	// Comparisons compare two programs; they are set only with -old.
	Comparisons []comparison `json:"comparisons,omitempty"`
}

// settings are the flags of a run.
type settings struct {
	binary   string
	pairs    int
	span     time.Duration
	out      string
	only     string
	fill     int
	licenses int
	streams  int
	dataDir  string
	profile  string
	log      io.Writer
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "yardstick" {
		flags := flag.NewFlagSet("yardstick", flag.ContinueOnError)
		listen := flags.String("listen", "127.0.0.1:0", "address")
		size := flags.Int("size", 1000, "size of the document in a reply, in bytes")
		if err := flags.Parse(args[1:]); err != nil {
			return 2
		}
		if err := serveYardstick(*listen, *size); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	s := settings{log: stderr}
	var old string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.binary, "binary", "bin/copyhold", "the program to measure")
	flags.StringVar(&old, "old", "", "an earlier program to compare with, instead of yardsticks")
	flags.IntVar(&s.pairs, "pairs", 0, fmt.Sprintf("interleaved pairs for each figure; 0 means %d, or %d with -old, which needs at least 21 for quotable results", yardstickPairs, comparePairs))
	flags.DurationVar(&s.span, "span", 2*time.Second, "length of one measurement")
	flags.StringVar(&s.profile, "profile", "", "file for a CPU profile of the measured servers; the last server's profile remains")
	flags.StringVar(&s.out, "out", "bench.json", "output file")
	flags.StringVar(&s.only, "only", "", "measure only figures whose names contain this text")
	flags.IntVar(&s.fill, "fill", 1_000_000, "seats in use in the large pool")
	flags.IntVar(&s.licenses, "licenses", 100_000, "licenses to issue and validate, and licenses of the large deployment")
	flags.IntVar(&s.streams, "streams", 5_000, "streams to open; at most 10,000, the limit of one server")
	flags.StringVar(&s.dataDir, "data", "", "folder for the databases, on a real disk; empty means a temporary folder")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if s.pairs == 0 && old == "" {
		s.pairs = yardstickPairs
	} else if s.pairs == 0 {
		s.pairs = comparePairs
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := s.measure(ctx, old)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if old == "" {
		printTable(stdout, r)
	} else {
		printComparisons(stdout, r)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(s.out, append(data, '\n'), 0o644)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// yardstickPairs is the default number of pairs for a figure and its yardstick.
const yardstickPairs = 7

// measure measures each figure together with its yardstick or with an earlier program.
func (s settings) measure(ctx context.Context, old string) (r report, err error) {
	r = report{At: time.Now().UTC(), Go: runtime.Version(), CPUs: runtime.NumCPU(), Pairs: s.pairs}
	if old != "" {
		r.Comparisons, err = compare(ctx, s, old)
		return r, err
	}
	for _, figure := range figures() {
		if !strings.Contains(figure.name, s.only) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(s.log, "measuring %s\n", figure.name)
		rows, err := figure.measure(ctx, s)
		if err != nil {
			return r, fmt.Errorf("%s: %w", figure.name, err)
		}
		r.Rows = append(r.Rows, rows...)
	}
	return r, nil
}

// A figure is one thing to measure.
type figure struct {
	name    string
	measure func(context.Context, settings) ([]row, error)
}

func printTable(w io.Writer, r report) {
	fmt.Fprintf(w, "%s, %d CPUs, median of %d interleaved pairs\n\n", r.Go, r.CPUs, r.Pairs)
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "figure\tours\tyardstick\tunit\tratio\ttarget\tmet\tallocs\t")
	for _, x := range r.Rows {
		met, allocs := "yes", ""
		if !x.Met {
			met = "NO"
		}
		if x.Allocs != nil {
			allocs = fmt.Sprintf("%.0f", *x.Allocs)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t%s\t\n", x.Name, number(x.Ours), number(x.Yardstick), x.Unit, x.Ratio, x.Target, met, allocs)
	}
	t.Flush()
	for _, x := range r.Rows {
		if x.Note != "" {
			fmt.Fprintf(w, "\n%s: %s", x.Name, x.Note)
		}
	}
	fmt.Fprintln(w)
}

func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// pair runs ours and the yardstick in turn, alternating which goes first, and
// returns the medians and the pairwise ratios ours/yardstick.
func pair(ctx context.Context, n int, ours, yardstick func() (float64, error)) (a, b float64, ratios []float64, err error) {
	var as, bs []float64
	for i := range n {
		if err := ctx.Err(); err != nil {
			return 0, 0, nil, err
		}
		first, second := ours, yardstick
		if i%2 == 1 {
			first, second = yardstick, ours
		}
		x, err := first()
		if err != nil {
			return 0, 0, nil, err
		}
		y, err := second()
		if err != nil {
			return 0, 0, nil, err
		}
		if i%2 == 1 {
			x, y = y, x
		}
		as, bs = append(as, x), append(bs, y)
		ratios = append(ratios, x/y)
	}
	return median(as), median(bs), ratios, nil
}

func atLeast(name, unit string, bound float64, a, b float64, ratios []float64) row {
	m := median(ratios)
	return row{Name: name, Unit: unit, Ours: a, Yardstick: b, Ratio: m, Pairs: slices.Clone(ratios), Target: fmt.Sprintf(">= %.2f", bound), Met: m >= bound}
}

func atMost(name, unit string, bound float64, a, b float64, ratios []float64) row {
	m := median(ratios)
	return row{Name: name, Unit: unit, Ours: a, Yardstick: b, Ratio: m, Pairs: slices.Clone(ratios), Target: fmt.Sprintf("<= %.2f", bound), Met: m <= bound}
}
