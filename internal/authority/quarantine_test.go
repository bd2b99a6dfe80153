package authority

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/audit/entry"
	"copyhold.dev/internal/authority/granting"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// leave writes n customers of an environment, each with a log row, like earlier servers, which
// accepted any environment name in a request.
func leave(t *testing.T, a *Authority, env licensing.Env, n int) {
	t.Helper()
	for i := range n {
		var tx *ledger.Tx
		err := a.ledger.DB.Update(t.Context(), a.ledger.Changing(t.Context(), env, "token:tok_1", &tx, func(tx *ledger.Tx) error {
			customer := licensing.Customer{Env: env, ID: licensing.CustomerID(ledger.NewID(licensing.CustomerPrefix, tx.Now())), Name: fmt.Sprint("Customer ", i), Created: tx.Now()}
			if _, err := tx.InsertCustomer(t.Context(), customer); err != nil {
				return err
			}
			return tx.Note(licensing.CustomerCreated, licensing.Event{Customer: customer.ID}, entry.Customer{})
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// restarted returns a new server on the database of a.
func restarted(t *testing.T, a *Authority, dir string) *Authority {
	t.Helper()
	b := New(ledger.Config{DB: a.ledger.DB, Ring: signing.NewRing(a.ledger.Ring.Sealing()), Dir: dir, Metrics: metrics.New(time.Now)})
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// quarantined returns the data of the entries of a type in an environment's log.
func quarantined(t *testing.T, a *Authority, env licensing.Env, kind string) (all []entry.Quarantine) {
	t.Helper()
	page, err := a.ledger.LogEntries(t.Context(), access.System(env, "test"), ledger.LogFilter{Type: kind}, request.PageOf{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		var data entry.Quarantine
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// rawRows reads the waiting rows of an environment with a separate connection.
func rawRows(t *testing.T, raw *sql.DB, env licensing.Env) (all []audit.RawRow) {
	t.Helper()
	rows, err := raw.QueryContext(t.Context(), `
		SELECT p.id, COALESCE(r.body, ''), r.packed, p.leaves FROM log_pending p LEFT JOIN log_row r ON r.env = p.env AND r.id = p.id
		WHERE p.env = '`+string(env)+`' ORDER BY p.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r audit.RawRow
		var packed []byte
		if err := rows.Scan(&r.ID, &r.Body, &packed, &r.Leaves); err != nil {
			t.Fatal(err)
		}
		if len(packed) > 0 {
			r.Body = packed
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func eachExposed(t *testing.T, fn func(t *testing.T, db *store.DB, raw *sql.DB)) {
	storetest.Each(t, func(t *testing.T, other *store.DB) {
		db, raw := exposed(t, other.Engine())
		fn(t, db, raw)
	})
}

func whole(t *testing.T, a *Authority, env licensing.Env) {
	t.Helper()
	report, err := a.ledger.VerifyLog(t.Context(), access.System(env, "test"))
	if err != nil || !report.Whole() {
		t.Errorf("the log of %s: %v, %v", env, report.Findings, err)
	}
}

// TestRowsOfNoEnvironmentWaitInQuarantine leaves more rows than one pass takes, with names that
// sort before and after the existing ones.
func TestRowsOfNoEnvironmentWaitInQuarantine(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		s := openShop(t, db)
		leave(t, s.Authority, "aaa", 300)
		leave(t, s.Authority, "prodution", 300)
		leave(t, s.Authority, access.AllEnvironments, 1)
		want := audit.HashRows(rawRows(t, raw, "prodution"))
		if err := note(ctx, s.Authority, "lic_1", "after"); err != nil {
			t.Fatal(err)
		}

		b := restarted(t, s.Authority, "")
		page, err := b.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: "lic_1"}, request.PageOf{})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("what was written after them has %d entries, %v", len(page.Items), err)
		}
		for _, e := range FirstEnvironments() {
			told := quarantined(t, b, e.Name, licensing.LogQuarantined)
			if len(told) != 3 {
				t.Fatalf("the log of %s tells of %d batches, want 3: %+v", e.Name, len(told), told)
			}
			i := slices.IndexFunc(told, func(e entry.Quarantine) bool { return e.Environment == "prodution" })
			if i < 0 || told[i].Rows != 300 || told[i].Hash != want || told[i].Cause != string(store.UnknownEnvironment) {
				t.Errorf("the log of %s says %+v, want 300 rows with the hash %s", e.Name, told, want)
			}
			whole(t, b, e.Name)
		}
		s.shows(b, map[licensing.Env]int64{"aaa": 300, "prodution": 300, access.AllEnvironments: 1})
		if n, err := db.Schema(ctx); err != nil || n < 6 {
			t.Errorf("schema %d, %v", n, err)
		}

		archives(t, b, "prodution", 300)

		// Creating the environment brings back the rows that were written to it.
		if _, err := b.CreateEnvironment(ctx, owner(), licensing.Environment{Name: "prodution", Kind: licensing.Staging}); err != nil {
			t.Fatal(err)
		}
		adopted := quarantined(t, b, "prodution", licensing.LogAdopted)
		if len(adopted) != 1 || adopted[0].Rows != 300 || adopted[0].Hash != want {
			t.Errorf("adopted: %+v, want 300 rows with the hash %s", adopted, want)
		}
		created := 0
		for of := (request.PageOf{Limit: 500}); ; {
			page, err := b.ledger.LogEntries(ctx, access.System("prodution", "test"), ledger.LogFilter{Type: licensing.CustomerCreated}, of)
			if err != nil {
				t.Fatal(err)
			}
			created += len(page.Items)
			if of.Cursor = page.Next; page.Next == "" {
				break
			}
		}
		if created != 300 {
			t.Errorf("%d of 300 entries are in the log of the new environment", created)
		}
		first, err := b.ledger.LogEntry(ctx, access.System("prodution", "test"), 0)
		if err != nil || first.Type != licensing.CustomerCreated {
			t.Errorf("the log begins with %s, %v: want the oldest entry first", first.Type, err)
		}
		whole(t, b, "prodution")
		s.shows(b, map[licensing.Env]int64{"aaa": 300, access.AllEnvironments: 1})
		customers, err := b.Customers(ctx, access.System("prodution", "test"), "", request.PageOf{Limit: 500})
		if err != nil || len(customers.Items) != 300 {
			t.Errorf("%d customers, %v", len(customers.Items), err)
		}
	})
}

// shows checks the quarantine in status and metrics.
func (s *shop) shows(a *Authority, want map[licensing.Env]int64) {
	s.t.Helper()
	status, err := a.Status(s.t.Context(), s.p)
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[licensing.Env]int64{}
	for _, q := range status.Quarantine {
		got[q.Environment] += q.Rows
		if q.Since.IsZero() {
			s.t.Errorf("%s is in quarantine since never", q.Environment)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("status shows %v in quarantine, want %v", got, want)
	}
	narrow := s.p
	narrow.Product = "lathe"
	if status, err := a.Status(s.t.Context(), narrow); err != nil || len(status.Quarantine) != 0 {
		s.t.Errorf("a token of one product sees %v, %v", status.Quarantine, err)
	}
	if err := a.Measure(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	families, err := a.ledger.Metrics.Gatherer().Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	got = map[licensing.Env]int64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "copyhold_log_quarantined_rows" {
				got[licensing.Env(m.Label[1].GetValue())] += int64(m.Gauge.GetValue())
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("the metrics show %v in quarantine, want %v", got, want)
	}
}

// archives checks that a backup contains the rows in quarantine.
func archives(t *testing.T, a *Authority, env licensing.Env, rows int64) {
	t.Helper()
	var archive bytes.Buffer
	if _, err := a.Backup(t.Context(), owner(), &archive); err != nil {
		t.Fatal(err)
	}
	storetest.Each(t, func(t *testing.T, to *store.DB) {
		c := ledger.Config{DB: to, Ring: signing.NewRing(a.ledger.Ring.Sealing())}
		if _, err := recovery.Restore(t.Context(), c, bytes.NewReader(archive.Bytes())); err != nil {
			t.Fatal(err)
		}
		restored := New(c)
		if err := restored.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		whole(t, restored, testEnv)
		status, err := restored.Status(t.Context(), owner())
		if err != nil || !slices.ContainsFunc(status.Quarantine, func(q v1.Quarantine) bool { return q.Environment == env && q.Rows == rows }) {
			t.Errorf("restored: %+v, %v", status.Quarantine, err)
		}
	})
}

// TestADamagedRowKeepsNoOtherFromItsPlace damages rows in every way that the sequencer can detect,
// each between intact rows.
func TestADamagedRowKeepsNoOtherFromItsPlace(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		s := openShop(t, db)
		if err := s.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		for _, damage := range []string{
			`UPDATE log_pending SET leaves = SUBSTR(leaves, 1, 31) WHERE env = 'production' AND id = `,
			`UPDATE log_pending SET leaves = SUBSTR(leaves, 1, 0) WHERE env = 'production' AND id = `,
			`UPDATE log_row SET entries = 2 WHERE env = 'production' AND id = `,
			`DELETE FROM log_row WHERE env = 'production' AND id = `,
		} {
			for i := range 3 {
				if err := note(ctx, s.Authority, "lic_1", fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
			}
			rows := rawRows(t, raw, testEnv)
			if _, err := raw.ExecContext(ctx, damage+`'`+rows[1].ID+`'`); err != nil {
				t.Fatal(err)
			}
			want := audit.HashRows(rawRows(t, raw, testEnv)[1:2])
			b := restarted(t, s.Authority, "")
			told := quarantined(t, b, testEnv, licensing.LogQuarantined)
			if len(told) == 0 || told[0].Rows != 1 || told[0].Cause != string(store.DamagedRow) || told[0].Hash != want {
				t.Fatalf("%s: told %+v, want one row with the hash %s", damage, told, want)
			}
			if others := quarantined(t, b, "staging", licensing.LogQuarantined); len(others) != 0 {
				t.Errorf("the log of staging tells of production's rows: %+v", others)
			}
			page, err := b.ledger.LogEntries(ctx, owner(), ledger.LogFilter{License: "lic_1"}, request.PageOf{})
			if err != nil || len(page.Items) < 2 || page.Items[0].Subject != "2" || page.Items[1].Subject != "0" {
				t.Errorf("%s: %+v, %v", damage, page.Items, err)
			}
			whole(t, b, testEnv)
		}
		s.shows(restarted(t, s.Authority, ""), map[licensing.Env]int64{testEnv: 4})
		if status, err := s.Status(ctx, access.System("staging", "test")); err != nil || len(status.Quarantine) != 0 {
			t.Errorf("staging sees production's quarantine: %+v, %v", status.Quarantine, err)
		}
	})
}

// TestOneEnvironmentsBrokenTreeStopsNoOther removes a tile from staging's tree.
func TestOneEnvironmentsBrokenTreeStopsNoOther(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		s := openShop(t, db)
		if err := s.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.ExecContext(ctx, `DELETE FROM log_tile WHERE env = 'development'`); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, env := range []licensing.Env{"development", testEnv} {
			if _, err := s.CreateCustomer(ctx, access.System(env, "test"), licensing.Customer{Name: "After"}); err != nil {
				t.Fatal(err)
			}
		}
		b := restarted(t, s.Authority, dir)
		if err := b.ledger.Sequence(ctx); !errors.Is(err, ledger.ErrUnplaced) || !strings.Contains(err.Error(), "development") {
			t.Errorf("the broken tree is not named: %v", err)
		}
		page, err := b.ledger.LogEntries(ctx, owner(), ledger.LogFilter{Type: licensing.CustomerCreated}, request.PageOf{})
		if err != nil || len(page.Items) != 2 {
			t.Errorf("%d entries, %v", len(page.Items), err)
		}
		whole(t, b, testEnv)
		if seen, err := b.ledger.Witness.Load(); err != nil || seen.Heads["development"] == nil {
			t.Errorf("the witness has forgotten the broken tree's head: %+v, %v", seen, err)
		}
	})
}

// TestNothingIsWrittenToAnEnvironmentThatDoesNotExist calls the authority directly, without the API
// in front of it.
func TestNothingIsWrittenToAnEnvironmentThatDoesNotExist(t *testing.T) {
	eachExposed(t, func(t *testing.T, db *store.DB, raw *sql.DB) {
		ctx := t.Context()
		s := openShop(t, db)
		l := s.issue().License
		owner := licensing.Owner{Team: "cad", Pager: "cad@example.com", Runbook: "https://example.com/run"}
		for _, env := range []licensing.Env{"prodution", access.AllEnvironments, "Production", "production ", licensing.Env(strings.Repeat("x", 2000))} {
			p := access.System(env, "test")
			program := access.Principal{Kind: access.KindLicense, Env: env, License: l.ID, Actor: "license:" + string(l.ID)}
			for name, write := range map[string]func() error{
				"customer": func() error { _, err := s.CreateCustomer(ctx, p, licensing.Customer{Name: "Nobody"}); return err },
				"product": func() error {
					_, err := s.CreateProduct(ctx, p, licensing.Product{Name: "mill", Owner: owner})
					return err
				},
				"token": func() error {
					_, err := s.CreateToken(ctx, p, v1.TokenRequest{Name: "any", Role: access.Viewer})
					return err
				},
				"rotation": func() error { _, err := s.RotateSigningKey(ctx, p); return err },
				"acquire":  func() error { _, err := s.Acquire(ctx, program, ask("seats", 1)); return err },
				"renewal": func() error {
					_, err := s.Renew(ctx, program, granting.RenewalRequest{Lease: "lse_1", Generation: 1, Nonce: "nonce-of-1"})
					return err
				},
				"release": func() error {
					_, err := s.Release(ctx, program, granting.ReleaseRequest{Lease: "lse_1", Generation: 1})
					return err
				},
				"batch": func() error {
					return s.Batch(ctx, program, granting.LeaseBatch{Acquire: []granting.AcquireRequest{ask("seats", 1)}}).Acquire[0].Err
				},
				"usage": func() error {
					_, err := s.Usage(ctx, program, granting.UsageRequest{Events: []granting.UsageEvent{{ID: "e1", Meter: "calls", Quantity: "1"}}})
					return err
				},
			} {
				if err := write(); licensing.CodeOf(err) != licensing.Invalid || len(err.Error()) > 200 {
					t.Errorf("%s in %.20q: %v", name, env, err)
				}
			}
			var rows int
			if err := raw.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM log_row WHERE env = '`+string(env)+`') + (SELECT COUNT(*) FROM token WHERE env = '`+string(env)+
				`' AND role <> 'owner') + (SELECT COUNT(*) FROM customer WHERE env = '`+string(env)+`')`).Scan(&rows); err != nil || rows != 0 {
				t.Errorf("%d rows of %.20q, %v", rows, env, err)
			}
		}
	})
}

// TestAnEnvironmentIsKnownAtOnceToAllServers creates an environment on one server and uses it on
// another.
func TestAnEnvironmentIsKnownAtOnceToAllServers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		s := openShop(t, db)
		other := restarted(t, s.Authority, "")
		never := func() error { return nil }
		if _, err := other.Authenticate(ctx, "Bearer "+s.token, "training", never); licensing.CodeOf(err) != licensing.Invalid {
			t.Errorf("before it exists: %v", err)
		}
		if _, err := s.CreateEnvironment(ctx, owner(), licensing.Environment{Name: "training", Kind: licensing.Development}); err != nil {
			t.Fatal(err)
		}
		p, err := other.Authenticate(ctx, "Bearer "+s.token, "training", never)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.CreateCustomer(ctx, p, licensing.Customer{Name: "Pupil"}); err != nil {
			t.Error(err)
		}
		whole(t, other, "training")
	})
}

// TestAServerStartsOnADatabaseFromBeforeAnEnvironmentWasCreated checks a witness with an
// environment that the database has lost.
func TestAServerStartsOnADatabaseFromBeforeAnEnvironmentWasCreated(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, dir := t.Context(), t.TempDir()
		s := openShop(t, db)
		if err := s.ledger.Sequence(ctx); err != nil {
			t.Fatal(err)
		}
		heads := map[licensing.Env]*license.Head{testEnv: s.ledger.Head(testEnv), "training": {Size: 5, Root: s.ledger.Head(testEnv).Root}}
		seen := ledger.Witness{Dir: dir}
		if err := seen.Begin(deploymentOf(t, s.Authority), 1, heads); err != nil {
			t.Fatal(err)
		}
		b := restarted(t, s.Authority, dir)
		if b.ledger.FencedSince("training").IsZero() {
			t.Error("no fence for the environment that was lost")
		}
		if told := quarantined(t, b, testEnv, licensing.LogQuarantined); len(told) != 1 || told[0].Environment != "training" {
			t.Errorf("the log tells %+v", told)
		}
		whole(t, b, testEnv)
	})
}

// TestOnlyAnOwnersTokenSpansEnvironments also checks tokens from a time when "all" was not checked
// as an environment.
func TestOnlyAnOwnersTokenSpansEnvironments(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		s := openShop(t, db)
		made := func(role access.Role, product licensing.ProductName, customer licensing.CustomerID) (text string) {
			t.Helper()
			err := s.ledger.DB.Update(ctx, func(tx *store.Tx) error {
				id := licensing.TokenID(ledger.NewID(licensing.TokenPrefix, tx.Now()))
				text = access.NewToken(access.AllEnvironments, id, [20]byte{1})
				return tx.InsertToken(ctx, store.Token{
					Env: access.AllEnvironments, ID: id, Digest: access.Hash(text).String(), Name: "old", Role: string(role),
					Product: product, Customer: customer, CreatedAt: tx.Now(),
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		never := func() error { return nil }
		for _, role := range access.Roles() {
			for name, text := range map[string]string{"": made(role, "", ""), "a product": made(role, "lathe", ""), "a customer": made(role, "", s.customer)} {
				for _, env := range []licensing.Env{testEnv, "staging", "", access.AllEnvironments} {
					p, err := s.Authenticate(ctx, "Bearer "+text, env, never)
					want := licensing.Forbidden
					switch {
					case role == access.Owner && name == "" && (env == testEnv || env == "staging"):
						want = ""
					case role == access.Owner && name == "":
						want = licensing.Invalid
					}
					if licensing.CodeOf(err) != want || err == nil && p.Env != env {
						t.Errorf("an old token of the role %s with %q in %q: %+v, %v", role, name, env, p, err)
					}
				}
			}
			_, err := s.CreateToken(ctx, owner(), v1.TokenRequest{Name: "new", Role: role, Spans: true, Customer: map[bool]licensing.CustomerID{true: s.customer}[role == access.Customer]})
			if (err == nil) != (role == access.Owner) {
				t.Errorf("a new token of the role %s that spans: %v", role, err)
			}
		}
		tokens, err := s.Tokens(ctx, owner(), request.PageOf{Limit: 100})
		if err != nil || len(tokens.Items) != 3*len(access.Roles())+2 {
			t.Errorf("an owner sees %d of them, %v", len(tokens.Items), err)
		}
		for _, token := range tokens.Items {
			if token.Name == "old" {
				if err := s.DeleteToken(ctx, owner(), token.ID); err != nil {
					t.Errorf("deleting %s: %v", token.ID, err)
				}
			}
		}
	})
}
