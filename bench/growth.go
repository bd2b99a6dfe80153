package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"copyhold.dev/internal/store/storetest"
)

const (
	// smallDeployment is the number of licenses that the large deployment is compared with.
	smallDeployment = 1000
	// trialEnvironment is the environment that bench fill fills.
	trialEnvironment = "staging"
	megabyte         = 1 << 20
)

// A deployment is a server that bench fill has filled.
type deployment struct {
	*measured
	binary   string
	licenses int
	took     time.Duration // of bench fill
	begun    time.Time     // the beginning of bench fill
	size     storage
	sample   []sampled
	deep     map[string]string // cursors far into a list of licenses, by its filter
	taker    *taker
	http     http.Client
	issued   int
}

// measureGrowth fills a server with 1,000 licenses and another one with many. It compares how long
// the same requests take on both, and reports what long work costs acquires on the large one.
func measureGrowth(name, engine string) func(context.Context, settings) ([]row, error) {
	return func(ctx context.Context, s settings) ([]row, error) {
		if s.licenses <= smallDeployment {
			return nil, fmt.Errorf("growth compares a deployment with one of %d licenses: -licenses must be larger", smallDeployment)
		}
		database := func(int) (string, error) { return "", nil }
		if engine == "postgres" {
			server, stop, err := storetest.Server()
			if err != nil {
				return nil, err
			}
			defer stop()
			database = func(n int) (string, error) { return emptyDatabase(ctx, server, n, n) }
		}
		var both [2]*deployment
		for i, licenses := range []int{smallDeployment, s.licenses} {
			url, err := database(i)
			if err != nil {
				return nil, err
			}
			if both[i], err = s.deploy(ctx, url, licenses); err != nil {
				return nil, err
			}
			defer both[i].end()
		}
		small, large := both[0], both[1]
		rows := sizes(small, large) // the yardstick of the other rows is the small deployment, or the same without the long work
		probed, err := probe(ctx, s, small, large)
		if err != nil {
			return nil, err
		}
		rows = append(rows, probed...)
		busy, err := large.meanwhile(ctx, s)
		if err != nil {
			return nil, err
		}
		rows = append(rows, busy...)
		resident, err := large.resident()
		if err != nil {
			return nil, err
		}
		rows = append(rows, alone("resident memory after all this", "MB", float64(resident)/megabyte, 500))
		for i := range rows {
			rows[i].Name = fmt.Sprintf("%s, %d licenses: %s", name, s.licenses, rows[i].Name)
		}
		return rows, nil
	}
}

// deploy starts a server and fills it.
func (s settings) deploy(ctx context.Context, database string, licenses int) (*deployment, error) {
	m, err := s.serve(ctx, database, 100)
	if err != nil {
		return nil, err
	}
	d := &deployment{measured: m, binary: s.binary, licenses: licenses, deep: map[string]string{}}
	if err := d.fill(ctx, database, s); err != nil {
		m.end()
		return nil, err
	}
	return d, nil
}

func (d *deployment) fill(ctx context.Context, database string, s settings) error {
	d.begun = time.Now()
	if _, err := d.command(ctx, "bench", "fill", "--licenses", fmt.Sprint(d.licenses)); err != nil {
		return err
	}
	d.took = time.Since(d.begun)
	fmt.Fprintf(s.log, "  %d licenses after %v\n", d.licenses, d.took.Round(time.Second))
	d.vendor.environment = trialEnvironment
	_, credential, err := d.vendor.sell(1_000_000)
	if err != nil {
		return err
	}
	d.taker = &taker{credential: credential}
	if d.size, err = measureStorage(ctx, database, d); err != nil {
		return err
	}
	return d.choose()
}

// command runs the measured program on the deployment and returns its output. An exit status that
// reports a difference between plans is not an error.
func (d *deployment) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.binary, append(args, "--url", "http://"+d.addr, "--environment", trialEnvironment,
		"--token-file", filepath.Join(d.dir, "owner.token"), "--timeout", "1h")...)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) && (exited.ExitCode() == 10 || exited.ExitCode() == 11) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("copyhold %s: %w\n%s", args[0]+" "+args[1], err, failed.String())
	}
	return out, err
}

// storage is what a deployment takes in its database.
type storage struct {
	bytes, log int64 // of the database, and of the log in it, with indexes
	entries    int64 // of the log of the environment
}

// measureStorage reads the sizes from the database, while the server uses it.
func measureStorage(ctx context.Context, database string, d *deployment) (size storage, err error) {
	driver, source := "pgx", database
	all, log := "SELECT pg_database_size(current_database())",
		`SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'log\_%'`
	if database == "" {
		driver, source = "sqlite", "file:"+filepath.Join(d.dir, "copyhold.db")+"?mode=ro"
		all = "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE"
		log = all + ` AND name IN (SELECT name FROM sqlite_schema WHERE tbl_name LIKE 'log\_%' ESCAPE '\')`
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return size, err
	}
	defer db.Close()
	var status struct{ Entries int64 }
	err = errors.Join(db.QueryRowContext(ctx, all).Scan(&size.bytes), db.QueryRowContext(ctx, log).Scan(&size.log),
		d.vendor.call("GET", "/v1/status", nil, &status))
	size.entries = status.Entries
	return size, err
}

// sizes reports how long bench fill took, and what a license and a log entry take in the database.
// The small deployment is subtracted, so that tables that do not grow do not count.
func sizes(small, large *deployment) []row {
	licenses := float64(large.licenses - small.licenses)
	entries := float64(large.size.entries - small.size.entries)
	fill := alone("bench fill", "s", large.took.Seconds(), 0)
	fill.Note = fmt.Sprintf("%.0f licenses a second, %d log entries.", float64(large.licenses)/large.took.Seconds(), large.size.entries)
	return []row{
		fill,
		alone("database for each license, with its leases, usage and log", "bytes", float64(large.size.bytes-small.size.bytes)/licenses, 0),
		alone("database for each log entry, with indexes", "bytes", float64(large.size.log-small.size.log)/entries, 500),
	}
}

// alone is a row without a yardstick. A bound of 0 means that it has no target.
func alone(name, unit string, value, bound float64) row {
	r := row{Name: name, Unit: unit, Ours: value, Met: true}
	if bound > 0 {
		r.Target, r.Met = fmt.Sprintf("<= %.0f %s", bound, unit), value <= bound
	}
	return r
}

// A sampled license is one whose requests are measured.
type sampled struct {
	ID, Customer, Product, Plan, Granted, Status, Reference string
	End                                                     time.Time
}

const (
	samples    = 100
	deepestAt  = 500 // pages
	pageLength = 100
)

type licensePage struct {
	Items []sampled
	Next  string
}

// choose finds licenses from the whole set to measure with, and cursors far into the lists.
func (d *deployment) choose() error {
	for i := range samples {
		number := i * d.licenses / samples
		var page licensePage
		if err := d.vendor.call("GET", fmt.Sprintf("/v1/licenses?reference=bench-1-%06d", number), nil, &page); err != nil {
			return err
		}
		if len(page.Items) != 1 {
			return fmt.Errorf("%d licenses with the number %d", len(page.Items), number)
		}
		d.sample = append(d.sample, page.Items[0])
	}
	for _, filter := range []string{"", "status=active&", "product=bench-cad&"} {
		pages := min(deepestAt, d.licenses/pageLength/3)
		cursor := ""
		for range pages {
			var page licensePage
			if err := d.vendor.call("GET", fmt.Sprintf("/v1/licenses?%slimit=%d&cursor=%s", filter, pageLength, cursor), nil, &page); err != nil {
				return err
			}
			if cursor = page.Next; cursor == "" {
				return fmt.Errorf("the list of licenses with %q has less than %d pages", filter, pages)
			}
		}
		d.deep[filter] = cursor
	}
	return nil
}

// writeImport writes a CSV file with new licenses and returns its name.
func (d *deployment) writeImport(count int) (string, error) {
	var text bytes.Buffer
	text.WriteString("key,customer,plan,start\n")
	for range count {
		d.issued++
		fmt.Fprintf(&text, "imported-key-%08d,%s,bench-studio,%s\n", d.issued, d.sample[d.issued%samples].Customer, d.begun.Format(time.DateOnly))
	}
	name := filepath.Join(d.dir, "import.csv")
	return name, os.WriteFile(name, text.Bytes(), 0o600)
}

// batch returns the body of a request for new licenses.
func (d *deployment) batch(count int) ([]byte, error) {
	licenses := make([]map[string]string, count)
	for i := range licenses {
		licenses[i] = map[string]string{"customer": d.sample[i%samples].Customer, "plan": d.sample[i%samples].Plan, "start": d.begun.UTC().Format(time.RFC3339)}
	}
	return json.Marshal(map[string]any{"licenses": licenses})
}
