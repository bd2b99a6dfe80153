package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// everyModel is a plan with a pool and a meter of every kind.
const everyModel = `
product: lathe
plan: studio
name: Lathe Studio
term: {length: 1y, grace: 3d}
features: {export: true, max_layers: 50, theme: dark}
fallback: {export: false, max_layers: 5}
pools:
  seats:    {holder: user, capacity: 2, lease: 15m, grace: 1h, borrow: 30d, full: deny}
  line:     {holder: user, capacity: 1, lease: 15m, grace: 1h, full: queue}
  spare:    {holder: user, capacity: 1, lease: 15m, grace: 1h, full: fallback}
  machines: {holder: machine, capacity: 3, lease: none, match: {need: 2, of: 3}, full: deny}
  big:      {holder: user, capacity: 1000000, lease: 15m, grace: 1h, full: deny}
meters:
  calls: {unit: call, scale: 2, quota: 10, per: month, soft: 80%, hard: 100%, full: deny}
`

// A deployment is a running API over a database, with one customer's license.
type deployment struct {
	t         testing.TB
	url       string
	client    *http.Client // holds every answer to the specification
	handler   *api.Handler
	authority *authority.Authority
	owner     access.Principal
	token     string // of the owner
	license   licensing.LicenseID
	key       string
	verifier  *license.Verifier
	config    ledger.Config
	probes    int
}

// newDeployment starts everything as serve does, and issues a license of plan.
func newDeployment(t testing.TB, db *store.DB, plan string) *deployment {
	t.Helper()
	return newDeploymentWithin(t, db, plan, api.Limits{})
}

func newDeploymentWithin(t testing.TB, db *store.DB, plan string, limits api.Limits) *deployment {
	t.Helper()
	sealing, err := signing.NewSealingKey()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	instruments := metrics.New(time.Now)
	d := &deployment{t: t, config: ledger.Config{DB: db, Ring: signing.NewRing(sealing), Log: log, Metrics: instruments}}
	d.authority = authority.New(d.config)
	t.Cleanup(d.authority.Close)
	d.check(d.authority.Start(t.Context()))
	_, err = d.authority.Bootstrap(t.Context(), []licensing.Environment{{Name: "production", Kind: licensing.Production}},
		func(token string) error { d.token = token; return nil })
	d.check(err)
	d.owner = access.System("production", "test")
	d.handler, err = api.New(api.Config{Authority: d.authority, Metrics: instruments, Log: log, Now: time.Now, Version: "test", Limits: limits})
	d.check(err)
	server := httptest.NewServer(d.handler)
	t.Cleanup(server.Close)
	d.url, d.client = server.URL, holdToSpecification(t, server.URL)
	_, err = d.authority.CreateProduct(t.Context(), d.owner, licensing.Product{Name: "lathe", Title: "Lathe",
		Owner: licensing.Owner{Team: "cad", Pager: "cad@example.com", Runbook: "https://example.com/run"}})
	d.check(err)
	_, err = d.authority.ApplyPlans(t.Context(), d.owner, v1.ApplyRequest{Files: []policy.File{{Name: "studio.yaml", Text: plan}}})
	d.check(err)
	customer, err := d.authority.CreateCustomer(t.Context(), d.owner, licensing.Customer{Name: "Example"})
	d.check(err)
	issued, err := d.authority.IssueLicense(t.Context(), d.owner, v1.IssueRequest{Customer: customer.ID, Plan: "studio"})
	d.check(err)
	d.license, d.key = issued.License.ID, issued.Key.Text
	d.trust()
	return d
}

// trust pins the root set and loads the key set, over HTTP as a program does.
func (d *deployment) trust() {
	d.t.Helper()
	var roots struct{ RootSet []string }
	d.get("/v1/rootset", &roots)
	auditor, err := license.NewAuditor(roots.RootSet)
	d.check(err)
	v, err := license.NewVerifier(auditor.Issuer(), "lathe", roots.RootSet)
	d.check(err)
	var keys struct{ KeySet []string }
	d.get("/v1/keyset", &keys)
	d.verifier, err = v.WithKeySet(keys.KeySet, time.Now().Unix())
	d.check(err)
}

func (d *deployment) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// An outcome is an answer: its status, its headers and its body.
type outcome struct {
	status int
	header http.Header
	body   []byte
}

func (o outcome) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(o.body, v); err != nil {
		t.Fatalf("%s: %v", o.body, err)
	}
}

// ask sends a request with the license key; credential replaces it.
func (d *deployment) ask(method, path string, body any, credential ...string) outcome {
	d.t.Helper()
	o, err := d.send(d.t.Context(), method, path, body, credential...)
	d.check(err)
	return o
}

func (d *deployment) send(ctx context.Context, method, path string, body any, credential ...string) (outcome, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return outcome{}, err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, content)
	if err != nil {
		return outcome{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "License "+d.key)
	for _, c := range credential {
		req.Header.Set("Authorization", c)
	}
	answer, err := d.client.Do(req)
	if err != nil {
		return outcome{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return outcome{answer.StatusCode, answer.Header, text}, err
}

func (d *deployment) get(path string, v any) outcome {
	d.t.Helper()
	o := d.ask(http.MethodGet, path, nil)
	if o.status != http.StatusOK {
		d.t.Fatalf("GET %s: %d %s", path, o.status, o.body)
	}
	o.decode(d.t, v)
	return o
}

// do sends a request unchanged.
func (d *deployment) do(req *http.Request) outcome {
	d.t.Helper()
	answer, err := d.client.Do(req)
	d.check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	d.check(err)
	return outcome{answer.StatusCode, answer.Header, text}
}

// members are the body of a request.
type members map[string]any

func user(name string) members { return members{"kind": "user", "id": name} }

// An answered is every member that a program reads.
type answered struct {
	Decision    license.Decision
	License     string
	Reply       string
	KeySet      int64
	Revocations int64
	ID          string
	Generation  int64
	Lease       string
	Ticket      string
	Code        string
	FreeAt      int64 `json:"free_at"`
}

// want sends a request and fails unless the answer has the status.
func (d *deployment) want(status int, method, path string, body any) answered {
	d.t.Helper()
	o := d.ask(method, path, body)
	if o.status != status {
		d.t.Fatalf("%s %s: %d, want %d: %s", method, path, o.status, status, o.body)
	}
	var a answered
	o.decode(d.t, &a)
	return a
}

const nonce = "n0nce-n0nce"

// reply verifies a reply to nonce.
func (d *deployment) reply(compact string) *license.Reply {
	d.t.Helper()
	r, err := d.verifier.Reply(compact, nonce, time.Now().Unix())
	if err != nil {
		d.t.Fatalf("the reply is not believed: %v: %s", err, strings.SplitN(compact, ".", 2)[0])
	}
	return r
}

// document verifies a license document.
func (d *deployment) document(compact string) *license.License {
	d.t.Helper()
	l, err := d.verifier.License(compact, time.Now().Unix())
	if err != nil {
		d.t.Fatalf("the license is not believed: %v", err)
	}
	return l
}
