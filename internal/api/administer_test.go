package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

const administered = `
product: lathe
plan: studio
name: Lathe Studio
edition: pro
term: {length: 1y, start: issue, renewal: anchored, grace: 3d}
features: {export: true, max_layers: 50}
fallback: {export: false}
editions: {pro: {features: {theme: dark}}, max: {features: {theme: light}}}
addons: {more: {pools: {seats: +5}}}
pools:
  seats: {holder: user, capacity: 5, lease: 15m, grace: 1h, full: deny}
meters:
  calls: {unit: call, scale: 0, quota: 10, per: month, full: deny}
`

// bearer creates a token with a role and returns its header.
func (d *deployment) bearer(p access.Principal, req v1.TokenRequest) string {
	d.t.Helper()
	req.Name = string(req.Role) + " of the test"
	created, err := d.authority.CreateToken(d.t.Context(), p, req)
	d.check(err)
	return "Bearer " + created.Text
}

// as sends a request with a credential and fails unless the answer has the status.
func (d *deployment) as(credential string, status int, method, path string, body any, into any) outcome {
	d.t.Helper()
	o := d.ask(method, path, body, credential)
	if o.status != status {
		d.t.Fatalf("%s %s: %d, want %d: %s", method, path, o.status, status, o.body)
	}
	if into != nil {
		o.decode(d.t, into)
	}
	return o
}

// withHeader sends a request with one more header.
func (d *deployment) withHeader(credential, name, value, method, path, body string) outcome {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	d.check(err)
	req.Header.Set("Authorization", credential)
	req.Header.Set(name, value)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := d.client.Do(req)
	d.check(err)
	defer answer.Body.Close()
	var o outcome
	o.status = answer.StatusCode
	var raw json.RawMessage
	if json.NewDecoder(answer.Body).Decode(&raw) == nil {
		o.body = raw
	}
	return o
}

// An operation is an operation of the OpenAPI document.
type operation struct{ method, path, permission string }

// operations reads every operation from the server's own document.
func (d *deployment) operations() []operation {
	d.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Permission string `json:"x-permission"`
		}
	}
	d.get("/openapi.json", &doc)
	var all []operation
	for path, methods := range doc.Paths {
		for method, op := range methods {
			all = append(all, operation{strings.ToUpper(method), path, op.Permission})
		}
	}
	return all
}

// TestEveryRouteAsksForItsPermission tries each route of the document with each
// role, in its own environment, with another's token, and with no credential.
func TestEveryRouteAsksForItsPermission(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, administered)
		_, err := d.authority.CreateEnvironment(t.Context(), d.owner, licensing.Environment{Name: "staging", Kind: licensing.Staging})
		d.check(err)
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		staging := d.bearer(access.System("staging", "test"), v1.TokenRequest{Role: access.Owner})
		parameter := regexp.MustCompile(`\{[^}]*\}`)
		tokens := map[access.Role]string{}
		for _, role := range access.Roles() {
			req := v1.TokenRequest{Role: role}
			if role == access.Customer {
				req.Customer = l.Customer
			}
			req.Spans = role == access.Owner
			tokens[role] = d.bearer(d.owner, req)
		}
		for _, op := range d.operations() {
			if op.permission == string(access.Public) || op.permission == string(access.LicenseKey) {
				continue
			}
			path := parameter.ReplaceAllString(op.path, "nobody")
			body := ""
			if op.method != http.MethodGet && op.method != http.MethodDelete {
				body = "{}"
			}
			if o := d.withHeader("", "X-Test", "none", op.method, path, body); o.status != http.StatusUnauthorized {
				t.Errorf("%s %s without a credential: %d", op.method, op.path, o.status)
			}
			if o := d.withHeader("License "+d.key, "X-Test", "key", op.method, path, body); o.status != http.StatusForbidden {
				t.Errorf("%s %s with a license key: %d", op.method, op.path, o.status)
			}
			if o := d.withHeader(staging, "Copyhold-Environment", "production", op.method, path, body); o.status != http.StatusForbidden {
				t.Errorf("%s %s with a token of staging: %d %s", op.method, op.path, o.status, o.body)
			}
			for role, token := range tokens {
				may := role.May(access.Permission(op.permission))
				o := d.withHeader(token, "Copyhold-Environment", "production", op.method, path, body)
				if refused := o.status == http.StatusForbidden || o.status == http.StatusUnauthorized; refused == may {
					t.Errorf("%s %s as %s: %d, and the role's permission is %v: %s", op.method, op.path, role, o.status, may, o.body)
				}
			}
		}
	})
}

// TestWhatIsForeignLooksAsIfItDidNotExist compares the answers about another
// customer's and another environment's things with those about nothing.
func TestWhatIsForeignLooksAsIfItDidNotExist(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, administered)
		_, err := d.authority.CreateEnvironment(t.Context(), d.owner, licensing.Environment{Name: "staging", Kind: licensing.Staging})
		d.check(err)
		other, err := d.authority.CreateCustomer(t.Context(), d.owner, licensing.Customer{Name: "Other"})
		d.check(err)
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		nobody := string(d.license[:len(d.license)-6]) + "zzzzzz"
		for name, credential := range map[string]string{
			"another customer":    d.bearer(d.owner, v1.TokenRequest{Role: access.Customer, Customer: other.ID}),
			"an issuer of one":    d.bearer(d.owner, v1.TokenRequest{Role: access.Issuer, Customer: other.ID}),
			"another environment": d.bearer(access.System("staging", "test"), v1.TokenRequest{Role: access.Admin}),
		} {
			for _, path := range []string{"/v1/licenses/ID", "/v1/licenses/ID/why", "/v1/licenses/ID/keys"} {
				foreign := d.ask(http.MethodGet, strings.Replace(path, "ID", string(d.license), 1), nil, credential)
				unknown := d.ask(http.MethodGet, strings.Replace(path, "ID", nobody, 1), nil, credential)
				if foreign.status != http.StatusNotFound || unknown.status != http.StatusNotFound {
					t.Errorf("%s, %s: %d for a foreign license, %d for none", name, path, foreign.status, unknown.status)
				}
				if a, b := withoutIDs(foreign.body, string(d.license)), withoutIDs(unknown.body, nobody); a != b {
					t.Errorf("%s, %s: a foreign license is answered %s, none %s", name, path, a, b)
				}
			}
			var list struct{ Items []v1.License }
			d.as(credential, http.StatusOK, http.MethodGet, "/v1/licenses", nil, &list)
			d.as(credential, http.StatusOK, http.MethodGet, "/v1/licenses?customer="+string(l.Customer), nil, &list)
			if len(list.Items) != 0 {
				t.Errorf("%s sees %v", name, list.Items)
			}
		}
		own := d.bearer(d.owner, v1.TokenRequest{Role: access.Customer, Customer: l.Customer})
		var list struct{ Items []v1.License }
		d.as(own, http.StatusOK, http.MethodGet, "/v1/licenses", nil, &list)
		d.as(own, http.StatusOK, http.MethodGet, "/v1/licenses/"+string(d.license), nil, nil)
		d.as(own, http.StatusForbidden, http.MethodPost, "/v1/licenses/"+string(d.license)+"/extend", members{"by": "1d"}, nil)
		if len(list.Items) != 1 {
			t.Errorf("the customer sees %d own licenses, want 1", len(list.Items))
		}
	})
}

// withoutIDs removes the parts of a problem that differ between any two requests.
func withoutIDs(body []byte, id string) string {
	instance := regexp.MustCompile(`"(instance|request_id)":"[^"]*"`)
	return strings.ReplaceAll(instance.ReplaceAllString(string(body), ""), id, "ID")
}

// TestALicenseLivesOverHTTP walks a license from issue to revocation.
func TestALicenseLivesOverHTTP(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, administered)
		owner := d.bearer(d.owner, v1.TokenRequest{Role: access.Owner})
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		var issued struct {
			License v1.License
			Key     struct{ Key string }
		}
		d.as(owner, http.StatusCreated, http.MethodPost, "/v1/licenses", members{
			"customer": l.Customer, "plan": "studio", "edition": "max", "capacity": members{"seats": 7}, "reference": "order 7",
		}, &issued)
		path, key := "/v1/licenses/"+string(issued.License.ID), "License "+issued.Key.Key
		if o := d.ask(http.MethodGet, "/v1/license", nil, key); o.status != http.StatusOK {
			t.Errorf("the new key: %d %s", o.status, o.body)
		}
		d.as(owner, http.StatusConflict, http.MethodPost, "/v1/licenses", members{"customer": l.Customer, "plan": "studio", "reference": "order 7"}, nil)

		var after v1.License
		d.as(owner, http.StatusOK, http.MethodPost, path+"/change", members{"add": []any{members{"addon": "more", "quantity": 2}}, "payment": "unpaid"}, &after)
		if after.Payment != licensing.Unpaid || len(after.Addons) != 1 || after.Seq.Counter != 2 {
			t.Errorf("after the change: %+v", after)
		}
		d.as(owner, http.StatusOK, http.MethodPost, path+"/extend", members{"by": "14d", "reason": "order on its way"}, &after)
		if got := after.End.Sub(issued.License.End); got != 14*24*time.Hour {
			t.Errorf("extended by %v", got)
		}
		d.as(owner, http.StatusConflict, http.MethodPost, path+"/renew", members{"after": after.TermEnd}, nil)
		d.as(owner, http.StatusUnprocessableEntity, http.MethodPost, path+"/renew", members{"paid": true}, nil)
		d.as(owner, http.StatusConflict, http.MethodPost, path+"/renew", members{"after": after.End, "paid": true}, nil)
		d.as(owner, http.StatusOK, http.MethodPost, path+"/renew", members{"after": after.TermEnd, "paid": true}, &after)
		if after.Payment != licensing.Paid {
			t.Errorf("renewed as paid, and it is %s", after.Payment)
		}
		var again v1.License
		d.as(owner, http.StatusOK, http.MethodPost, path+"/renew", members{"after": issued.License.End}, &again)
		if again.Seq != after.Seq || !again.End.Equal(after.End) {
			t.Errorf("the renewal repeated gives %+v, was %+v", again, after)
		}
		d.as(owner, http.StatusOK, http.MethodPost, path+"/suspend", members{"reason": "lost"}, nil)
		d.as(owner, http.StatusConflict, http.MethodGet, path+"/export", nil, nil)
		d.as(owner, http.StatusOK, http.MethodPost, path+"/reinstate", members{}, &after)

		d.rotates(owner, path, issued.Key.Key)
		d.exports(owner, path, after)

		var why v1.Explanation
		d.as(owner, http.StatusOK, http.MethodGet, path+"/why", nil, &why)
		if why.Decision.Outcome != "allowed" || why.Pools["seats"].Capacity != 7 || why.Features["export"].Outcome != "allowed" {
			t.Errorf("why: %+v, %+v", why.Decision, why.Pools)
		}
		d.as(owner, http.StatusUnprocessableEntity, http.MethodPost, path+"/revoke", members{"reason": ""}, nil)
		d.as(owner, http.StatusOK, http.MethodPost, path+"/revoke", members{"reason": "refund"}, &after)
		d.as(owner, http.StatusConflict, http.MethodPost, path+"/extend", members{"by": "1d"}, nil)
		var revoked struct{ Number int64 }
		d.get("/v1/revocations", &revoked)
		if revoked.Number != 1 || after.Status != licensing.Revoked {
			t.Errorf("after the revocation: number %d, %s", revoked.Number, after.Status)
		}
		var status struct {
			Licenses v1.LicenseCounts
			Runway   licensing.Runway
			Version  string
		}
		d.as(owner, http.StatusOK, http.MethodGet, "/v1/status", nil, &status)
		if status.Licenses.Active != 1 || status.Licenses.Revoked != 1 || status.Runway.Seconds <= 0 || status.Version == "" {
			t.Errorf("status: %+v", status)
		}
	})
}

// rotates checks that an old key is valid for its overlap and no longer.
func (d *deployment) rotates(owner, path, old string) {
	d.t.Helper()
	works := func(key string, want int) {
		d.t.Helper()
		if o := d.ask(http.MethodGet, "/v1/license", nil, "License "+key); o.status != want {
			d.t.Errorf("a key: %d, want %d: %s", o.status, want, o.body)
		}
	}
	var second, third struct{ ID, Key string }
	d.as(owner, http.StatusCreated, http.MethodPost, path+"/keys", members{"overlap": "1h"}, &second)
	works(old, http.StatusOK)
	works(second.Key, http.StatusOK)
	d.as(owner, http.StatusCreated, http.MethodPost, path+"/keys", members{}, &third)
	works(old, http.StatusUnauthorized)
	works(second.Key, http.StatusUnauthorized)
	works(third.Key, http.StatusOK)
	d.as(owner, http.StatusCreated, http.MethodPost, path+"/keys", members{"keep": true}, &second)
	works(third.Key, http.StatusOK)
	d.as(owner, http.StatusNoContent, http.MethodDelete, path+"/keys/"+third.ID, nil, nil)
	works(third.Key, http.StatusUnauthorized)
	works(second.Key, http.StatusOK)
	var list struct{ Items []map[string]any }
	o := d.as(owner, http.StatusOK, http.MethodGet, path+"/keys", nil, &list)
	if len(list.Items) != 3 || strings.Contains(string(o.body), "CH-") {
		d.t.Errorf("the list of keys: %s", o.body)
	}
}

// exports checks that a license file lasts to the end of the term.
func (d *deployment) exports(owner, path string, l v1.License) {
	d.t.Helper()
	var bundle struct{ Doc string }
	d.as(owner, http.StatusOK, http.MethodGet, path+"/export", nil, &bundle)
	doc := d.document(bundle.Doc)
	if doc.Due != l.End.Unix() || doc.Stale != doc.Due {
		d.t.Errorf("the exported document is due at %d, the term ends at %d", doc.Due, l.End.Unix())
	}
	armour := d.as(owner, http.StatusOK, http.MethodGet, path+"/export?format=armour", nil, nil)
	if !strings.Contains(string(armour.body), "-----BEGIN") {
		d.t.Errorf("no armour: %s", armour.body)
	}
}

// TestAWriteIsDoneOnceUnderItsKey repeats writes whose answers were lost.
func TestAWriteIsDoneOnceUnderItsKey(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, administered)
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		owner := d.bearer(d.owner, v1.TokenRequest{Role: access.Owner})
		issue := func(credential, key, body string) outcome {
			return d.withHeaders(credential, key, http.MethodPost, "/v1/licenses", body)
		}
		body := `{"customer":"` + string(l.Customer) + `","plan":"studio"}`
		first, again := issue(owner, "k1", body), issue(owner, "k1", body)
		if first.status != http.StatusCreated || again.status != http.StatusCreated || string(first.body) != string(again.body) {
			t.Errorf("the same request: %d %s, then %d %s", first.status, first.body, again.status, again.body)
		}
		other := issue(owner, "k1", strings.Replace(body, `"studio"`, `"studio","reference":"x"`, 1))
		if other.status != http.StatusUnprocessableEntity || !strings.Contains(string(other.body), "idempotency_mismatch") {
			t.Errorf("another request under the same key: %d %s", other.status, other.body)
		}
		admin := d.bearer(d.owner, v1.TokenRequest{Role: access.Admin})
		if o := issue(admin, "k1", body); o.status != http.StatusCreated || string(o.body) == string(first.body) {
			t.Errorf("another token's key is its own: %d %s", o.status, o.body)
		}
		// What failed is not remembered: it changed nothing.
		bad := `{"customer":"` + string(l.Customer) + `","plan":"none"}`
		if o := issue(owner, "k2", bad); o.status != http.StatusNotFound {
			t.Errorf("%d %s", o.status, o.body)
		}
		if o := issue(owner, "k2", body); o.status != http.StatusCreated {
			t.Errorf("after a failure: %d %s", o.status, o.body)
		}
		page, err := d.authority.Licenses(t.Context(), d.owner, catalog.LicenseFilter{}, request.PageOf{})
		if err != nil || len(page.Items) != 4 {
			t.Errorf("%d licenses, want the first and three issued (%v)", len(page.Items), err)
		}
	})
}

// withHeaders sends a write of production under an Idempotency-Key.
func (d *deployment) withHeaders(credential, key, method, path, body string) outcome {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	d.check(err)
	req.Header.Set("Authorization", credential)
	req.Header.Set("Copyhold-Environment", "production")
	req.Header.Set("Idempotency-Key", key)
	req.Header.Set("Content-Type", "application/json")
	answer, err := d.client.Do(req)
	d.check(err)
	defer answer.Body.Close()
	var raw json.RawMessage
	d.check(json.NewDecoder(answer.Body).Decode(&raw))
	return outcome{status: answer.StatusCode, body: raw}
}
