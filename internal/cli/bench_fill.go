package cli

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	v1 "copyhold.dev/internal/v1"
)

//go:embed bench_fill.yaml
var benchPlans string

const (
	// benchConnections is how many requests are sent at the same time. A server commits requests
	// that arrive together at once.
	benchConnections = 64
	// benchAttempts and benchWait bound how often a request is sent to a busy server, and the
	// first wait between two attempts, which doubles.
	benchAttempts = 10
	benchWait     = 20 * time.Millisecond
)

func (c *cli) benchFillCommand() *cobra.Command {
	f := benchFill{cli: c}
	cmd := &cobra.Command{
		Use:   "fill",
		Short: "Fill an environment with many licenses, leases and usage events, for trials",
		Long: `Fill makes a large deployment for trials: products, plans, customers, licenses, leases,
denials, usage events and tokens. It uses only the public API, so the result is what real
use would leave. It is for trials and never for production: it refuses an environment of
the kind production, and an environment with licenses of other products unless you specify
--force.

Everything is named bench: products bench-cad and bench-cloud, plans bench-solo,
bench-studio, bench-desk, bench-crew and bench-cloud. License number 42 of seed 1 has the
reference bench-1-000042, which is also its license key, so anyone can guess the keys.

The same seed makes the same licenses. Their dates are relative to the day of the run. A
second run continues where the first one stopped, or adds licenses if --licenses is larger.
Another seed adds another set. To remove the data, delete the server's data folder or
database.`,
		Example: `  copyhold bench fill --environment staging
  copyhold bench fill --environment staging --licenses 100000 --seed 2`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.licenses < 1 || f.licenses > maxBenchLicenses {
				return usageError(cmd, "--licenses must be from 1 to %d, not %d", maxBenchLicenses, f.licenses)
			}
			if err := f.run(cmd.Context()); err != nil {
				return err
			}
			return f.print()
		},
	}
	cmd.Flags().IntVar(&f.licenses, "licenses", 1000, fmt.Sprintf("how many licenses of this seed the environment will have, at most %d", maxBenchLicenses))
	cmd.Flags().Uint32Var(&f.set.seed, "seed", 1, "number that determines the data")
	cmd.Flags().BoolVar(&f.force, "force", false, "fill the environment even if it has licenses of other products")
	return cmd
}

// A benchFill is one run of bench fill.
type benchFill struct {
	cli      *cli
	set      benchSet
	licenses int
	force    bool

	client *client.Client
	today  time.Time // the day of the run, at midnight UTC
	begun  time.Time
	result benchFilled
}

// A benchFilled counts what a run has made. Of a run that continues another one, leases, events and
// denials of the last part can be counted in both.
type benchFilled struct {
	environment                                          string
	imported, customers, tokens, leases, denials, events atomic.Int64
	expired, suspended, revoked                          atomic.Int64
}

func (f *benchFill) run(ctx context.Context) error {
	f.begun = time.Now()
	f.today = f.begun.UTC().Truncate(24 * time.Hour)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = benchConnections
	defer transport.CloseIdleConnections()
	f.cli.http = &http.Client{Transport: transport}
	var err error
	if f.client, err = f.cli.client(client.ByToken); err != nil {
		return err
	}
	if err := f.mayFill(ctx); err != nil {
		return err
	}
	if err := f.describe(ctx); err != nil {
		return err
	}
	bar := f.cli.progress("license", f.licenses)
	defer bar.end()
	for from := 0; from < f.licenses; from += benchPart {
		if err := f.part(ctx, from, min(from+benchPart, f.licenses), bar); err != nil {
			return fmt.Errorf("%w\n  repeat the command to continue", err)
		}
	}
	return nil
}

// mayFill refuses an environment of the kind production, and without --force one with licenses of
// other products.
func (f *benchFill) mayFill(ctx context.Context) error {
	var status struct{ Environment string }
	if err := f.get(ctx, "/v1/status", nil, &status); err != nil {
		return err
	}
	var environment struct{ Kind licensing.Kind }
	if err := f.get(ctx, "/v1/environments/"+url.PathEscape(status.Environment), nil, &environment); err != nil {
		return err
	}
	if environment.Kind == licensing.Production {
		return exitf(exitUsage, "environment %s is of the kind production, and bench fill is for trials: choose another one with --environment, for example staging", status.Environment)
	}
	f.result.environment = status.Environment
	if f.force {
		return nil
	}
	products, err := f.client.List(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/products"}, 0)
	if err != nil {
		return err
	}
	for _, item := range products.Items {
		var product struct{ Name string }
		if err := (client.Answer{Body: item}).Decode(&product); err != nil {
			return err
		}
		if product.Name == benchCAD || product.Name == benchCloud {
			continue
		}
		var some client.Page
		if err := f.get(ctx, "/v1/licenses", url.Values{"product": {product.Name}, "limit": {"1"}}, &some); err != nil {
			return err
		}
		if len(some.Items) > 0 {
			return exitf(exitUsage, "environment %s has licenses of product %s, which bench fill did not make: use another environment, or rerun with --force", status.Environment, product.Name)
		}
	}
	return nil
}

// Products of the trial data.
const (
	benchCAD   = "bench-cad"
	benchCloud = "bench-cloud"
)

// describe makes the products and the plans, unless they exist.
func (f *benchFill) describe(ctx context.Context) error {
	for name, title := range map[string]string{benchCAD: "Bench CAD (trial data)", benchCloud: "Bench Cloud (trial data)"} {
		_, err := f.send(ctx, f.client, http.MethodPost, "/v1/products", map[string]any{
			"name": name, "title": title,
			"owner": map[string]string{"team": "bench", "pager": "bench@example.com", "runbook": "https://example.com/bench"},
		})
		if err := unlessExists(err); err != nil {
			return err
		}
	}
	_, err := f.send(ctx, f.client, http.MethodPost, "/v1/plans", map[string]any{
		"files": []policy.File{{Name: "bench_fill.yaml", Text: benchPlans}}, "licenses": "new",
	})
	return err
}

// part makes the licenses with the numbers from up to, but not including, to. The first customer
// of each part records how many of its licenses are done, so that no later run repeats them.
func (f *benchFill) part(ctx context.Context, from, to int, bar *progress) error {
	mark, err := f.mark(ctx, from)
	if err != nil {
		return err
	}
	first := from + mark.done
	if first >= to {
		bar.skip(to - from)
		return nil
	}
	bar.skip(mark.done)
	if err := f.makeCustomers(ctx, first, to); err != nil {
		return err
	}
	licenses := make([]benchLicense, to-first)
	for i := range licenses {
		licenses[i] = f.set.license(first+i, f.today)
	}
	if err := f.importAll(ctx, first, licenses); err != nil {
		return err
	}
	err = atOnce(ctx, len(licenses), func(ctx context.Context, i int) error {
		if err := f.live(ctx, licenses[i]); err != nil {
			return fmt.Errorf("license %s: %w", licenses[i].reference, err)
		}
		bar.add(1)
		return nil
	})
	if err != nil {
		return err
	}
	if mark, err = f.mark(ctx, from); err != nil {
		return err
	}
	_, err = f.send(ctx, f.client, http.MethodPatch, "/v1/customers/"+mark.customer, map[string]any{
		"metadata": map[string]string{benchCustomerMark: strconv.Itoa(to - from)},
	})
	return err
}

// A benchMark is how many licenses of a part are done, and the customer that records it.
type benchMark struct {
	customer string
	done     int
}

// mark reads the mark of the part that begins at a number. It is zero if the part has not begun.
func (f *benchFill) mark(ctx context.Context, from int) (m benchMark, err error) {
	var found struct {
		Items []struct {
			ID       string
			Metadata map[string]string
		}
	}
	if err := f.get(ctx, "/v1/customers", url.Values{"reference": {f.set.customer(from)}}, &found); err != nil {
		return m, err
	}
	if len(found.Items) == 0 {
		return m, nil
	}
	m.customer = found.Items[0].ID
	text := cmp.Or(found.Items[0].Metadata[benchCustomerMark], "0")
	if m.done, err = strconv.Atoi(text); err != nil || m.done < 0 || m.done > benchPart {
		return m, exitf(exitFailed, "customer %s: the metadata %s is %q, which bench fill did not write", m.customer, benchCustomerMark, text)
	}
	return m, nil
}

// makeCustomers makes the customers of licenses, and the token of every fifth one. A token is made
// only with a new customer, so that a repeated part has no second one.
func (f *benchFill) makeCustomers(ctx context.Context, from, to int) error {
	begin, end := from/benchPerCustomer, (to-1)/benchPerCustomer+1
	return atOnce(ctx, end-begin, func(ctx context.Context, i int) error {
		number := begin + i
		a, err := f.send(ctx, f.client, http.MethodPost, "/v1/customers", v1.CustomerBody{
			Name:      fmt.Sprintf("Bench customer %d of seed %d", number, f.set.seed),
			Email:     fmt.Sprintf("licenses@customer-%d.example", number),
			Reference: f.set.customer(number * benchPerCustomer),
		})
		if p, ok := client.AsProblem(err); ok && p.Code == string(licensing.Exists) {
			return nil
		}
		if err != nil {
			return err
		}
		f.result.customers.Add(1)
		if number%benchTokenEvery != 0 {
			return nil
		}
		var made struct{ ID licensing.CustomerID }
		if err := a.Decode(&made); err != nil {
			return err
		}
		_, err = f.send(ctx, f.client, http.MethodPost, "/v1/tokens", v1.TokenRequest{Name: f.set.customer(number * benchPerCustomer), Role: "customer", Customer: made.ID})
		if err == nil {
			f.result.tokens.Add(1)
		}
		return err
	})
}

// importAll imports licenses. An interrupted run may have imported them already.
func (f *benchFill) importAll(ctx context.Context, from int, licenses []benchLicense) error {
	rows := make([]licensing.ImportRow, len(licenses))
	for i, l := range licenses {
		rows[i].Fields = l.row(f.set.customer(from + i))
	}
	text, err := licensing.WriteImport(rows)
	if err != nil {
		return err
	}
	a, err := f.send(ctx, f.client, http.MethodPost, "/v1/licenses/import", v1.ImportRequest{CSV: text, Partial: true})
	if err != nil {
		return err
	}
	var done v1.Imported
	if err := a.Decode(&done); err != nil {
		return err
	}
	f.result.imported.Add(int64(done.Imported))
	for _, e := range done.Errors {
		if e.Code != licensing.Exists {
			return exitf(exitFailed, "importing license %s: %s", f.set.reference(from+e.Line-2), e.Message) // line 1 is the header
		}
	}
	return nil
}

// live does what the programs of a license do, and then what an administrator does with it.
func (f *benchFill) live(ctx context.Context, l benchLicense) error {
	if l.state == benchExpired {
		f.result.expired.Add(1)
		return nil
	}
	program := f.client.WithKey(client.Secret(l.reference))
	if err := f.acquire(ctx, program, l.acquires); err != nil {
		return err
	}
	if err := f.use(ctx, program, l.usage); err != nil {
		return err
	}
	switch l.state {
	case benchSuspended:
		return f.turn(ctx, l, &f.result.suspended)
	case benchRevoked:
		return f.turn(ctx, l, &f.result.revoked)
	}
	return nil
}

func (f *benchFill) acquire(ctx context.Context, program *client.Client, requests []v1.AcquireBody) error {
	a, err := f.sendAs(ctx, program, client.ByKey, http.MethodPost, "/v1/leases/batch", v1.BatchBody{Acquire: requests})
	if err != nil {
		return err
	}
	var done v1.BatchAnswer
	if err := a.Decode(&done); err != nil {
		return err
	}
	for _, o := range done.Acquire {
		switch {
		case o.Problem == nil:
			f.result.leases.Add(1)
		case o.Problem.Decision != nil:
			f.result.denials.Add(1)
		default:
			return exitf(exitFailed, "acquiring a unit: %s (%s)", o.Problem.Detail, o.Problem.Code)
		}
	}
	return nil
}

func (f *benchFill) use(ctx context.Context, program *client.Client, events []v1.UsageEvent) error {
	if len(events) == 0 {
		return nil
	}
	a, err := f.sendAs(ctx, program, client.ByKey, http.MethodPost, "/v1/usage", v1.UsageBody{Events: events})
	if err != nil {
		return err
	}
	var done v1.UsageAnswer
	if err := a.Decode(&done); err != nil {
		return err
	}
	for _, r := range done.Results {
		if r.Status != "recorded" && r.Status != "duplicate" {
			return exitf(exitFailed, "usage event %s is %s: %s", r.ID, r.Status, r.Reason)
		}
		f.result.events.Add(1)
	}
	return nil
}

// turn suspends or revokes a license. An interrupted run may have done so already.
func (f *benchFill) turn(ctx context.Context, l benchLicense, count *atomic.Int64) error {
	var found struct {
		Items []struct{ ID, Status string }
	}
	if err := f.get(ctx, "/v1/licenses", url.Values{"reference": {l.reference}}, &found); err != nil {
		return err
	}
	if len(found.Items) != 1 {
		return exitf(exitFailed, "the environment has %d licenses with this reference", len(found.Items))
	}
	count.Add(1)
	if found.Items[0].Status != string(licensing.Active) {
		return nil
	}
	_, err := f.send(ctx, f.client, http.MethodPost, licensePath(found.Items[0].ID, string(l.state)), map[string]any{"reason": "trial data"})
	return err
}

func (f *benchFill) get(ctx context.Context, path string, query url.Values, into any) error {
	a, err := patiently(ctx, func() (client.Answer, error) {
		return f.client.Do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: path, Query: query})
	})
	if err != nil {
		return err
	}
	return a.Decode(into)
}

func (f *benchFill) send(ctx context.Context, as *client.Client, method, path string, body any) (client.Answer, error) {
	return f.sendAs(ctx, as, client.ByToken, method, path, body)
}

func (f *benchFill) sendAs(ctx context.Context, c *client.Client, as client.Credential, method, path string, body any) (client.Answer, error) {
	return patiently(ctx, func() (client.Answer, error) {
		return c.Do(ctx, client.Call{As: as, Method: method, Path: path, Body: body})
	})
}

// patiently repeats a request that a busy server refuses. Every request of bench fill has an id or
// a reference, so that it takes effect once.
func patiently(ctx context.Context, request func() (client.Answer, error)) (client.Answer, error) {
	for attempt, wait := 1, benchWait; ; attempt, wait = attempt+1, 2*wait {
		a, err := request()
		p, ok := client.AsProblem(err)
		if !ok || p.Status == 0 || client.KindOf(err) != client.Unavailable || attempt == benchAttempts {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func unlessExists(err error) error {
	if p, ok := client.AsProblem(err); ok && p.Code == string(licensing.Exists) {
		return nil
	}
	return err
}

// atOnce calls do for 0 to n-1, up to benchConnections at the same time. It stops at the first error
// and returns it.
func atOnce(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, benchConnections) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// print prints what the run made.
func (f *benchFill) print() error {
	r := &f.result
	made := record{"environment": r.environment, "seed": f.set.seed, "licenses": f.licenses, "seconds": int(time.Since(f.begun).Seconds())}
	for name, count := range map[string]*atomic.Int64{
		"imported": &r.imported, "customers": &r.customers, "tokens": &r.tokens, "leases": &r.leases, "denials": &r.denials,
		"usage_events": &r.events, "expired": &r.expired, "suspended": &r.suspended, "revoked": &r.revoked,
	} {
		made[name] = count.Load()
	}
	if f.cli.asJSON() {
		return f.cli.printJSON(made)
	}
	f.cli.printFields(made,
		column{head: "ENVIRONMENT", path: "environment"}, column{head: "SEED", path: "seed"}, column{head: "LICENSES", path: "licenses"},
		column{head: "IMPORTED", path: "imported"}, column{head: "CUSTOMERS", path: "customers"}, column{head: "TOKENS", path: "tokens"},
		column{head: "LEASES", path: "leases"}, column{head: "DENIALS", path: "denials"}, column{head: "USAGE EVENTS", path: "usage_events"},
		column{head: "EXPIRED", path: "expired"}, column{head: "SUSPENDED", path: "suspended"}, column{head: "REVOKED", path: "revoked"},
		column{head: "SECONDS", path: "seconds"})
	if r.imported.Load() == 0 {
		f.cli.sayf("nothing to add: the environment already has these licenses")
	}
	return nil
}
