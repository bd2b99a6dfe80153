// Report is a command-line program that a license gates: it holds a seat while it works, and
// writes CSV only if the license grants the feature export.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"copyhold.dev/sdk/copyhold"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Exit statuses that scripts can distinguish.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitDenied      = 3
	exitUnavailable = 75 // try again
)

func run(args []string, out, warnings io.Writer) int {
	var o options
	flags := o.flags(warnings)
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := report(ctx, o, out, warnings)
	if err == nil {
		return 0
	}
	fmt.Fprintln(warnings, "report:", err)
	switch {
	case errors.Is(err, copyhold.ErrDenied):
		return exitDenied
	case errors.Is(err, copyhold.ErrUnavailable):
		return exitUnavailable
	}
	return exitFailed
}

type options struct {
	url, key, root, cache, user string
	wait, watch                 time.Duration
}

func (o *options) flags(warnings io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("report", flag.ContinueOnError)
	f.SetOutput(warnings)
	f.StringVar(&o.url, "url", cmp.Or(os.Getenv("COPYHOLD_URL"), "http://127.0.0.1:7400"), "license server, or comma-separated servers; default: COPYHOLD_URL, if set")
	f.StringVar(&o.key, "key", ".copyhold/keys/studio.key", "file with the license key")
	f.StringVar(&o.root, "root", ".copyhold/root-set.json", "root set of the vendor; a real program embeds it")
	f.StringVar(&o.cache, "cache", "", "folder for data to keep across restarts; - for none")
	f.StringVar(&o.user, "user", "", "user who holds the seat; default: your account")
	f.DurationVar(&o.wait, "wait", 0, "how long to wait for a seat")
	f.DurationVar(&o.watch, "watch", 0, "continue for this long, and print each change of state")
	return f
}

func report(ctx context.Context, o options, out, warnings io.Writer) error {
	root, err := os.ReadFile(o.root)
	if err != nil {
		return err
	}
	client, err := copyhold.Open(ctx, copyhold.Options{
		Endpoints: strings.Split(o.url, ","), KeyFile: o.key, Product: "lathe", RootSet: root, CacheDir: o.cache, User: o.user,
		Version: "1.0.0",
		OnChange: func(c copyhold.Change) {
			of := "license"
			if c.Lease != nil {
				of = "seat"
			}
			fmt.Fprintf(warnings, "%s %s %s: %s\n", time.Now().Format(time.TimeOnly), of, c.To.State, c.To.Reason)
		},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{Wait: o.wait})
	if err != nil {
		return err
	}
	defer release(seat, warnings)
	write(out, client)
	return work(ctx, client, o.watch, out)
}

// release releases the seat, even if the program was interrupted.
func release(seat *copyhold.Lease, warnings io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := seat.Release(ctx); err != nil {
		fmt.Fprintln(warnings, "report: the seat was not released and will expire:", err)
	}
}

// write prints the report: always as text, and as CSV if the license grants it.
func write(out io.Writer, client *copyhold.Client) {
	rows := [][2]string{{"parts", "120"}, {"scrap", "3"}}
	for _, r := range rows {
		fmt.Fprintf(out, "%-8s %s\n", r[0], r[1])
	}
	export := client.Feature("export")
	if !export.Enabled() {
		fmt.Fprintln(out, "no CSV:", export.Decision().Reason)
		return
	}
	for _, r := range rows {
		fmt.Fprintf(out, "%s,%s\n", r[0], r[1])
	}
}

// work continues and checks the feature often, because a check costs only a nanosecond.
func work(ctx context.Context, client *copyhold.Client, length time.Duration, out io.Writer) error {
	if length <= 0 {
		return nil
	}
	export := client.Feature("export")
	was := export.Enabled()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	end := time.After(length)
	for {
		select {
		case <-tick.C:
			if now := export.Enabled(); now != was {
				was = now
				fmt.Fprintf(out, "%s: export %v\n", time.Now().Format(time.TimeOnly), now)
			}
		case <-end:
			return nil
		case <-ctx.Done():
			return errors.New("interrupted")
		}
	}
}
