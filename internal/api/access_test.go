package api_test

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/catalog"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/policy"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// The roles in the order of the columns of reach, and the letters for them:
// owner, admin, issuer, operator (P), viewer, auditor (U), customer.
const roleLetters = "OAIPVUC"

// The answers to a token that is limited to another customer or to another product.
const (
	refused = '-' // 403
	hidden  = '0' // 404: as if the thing did not exist
	empty   = 'e' // success that names nothing of what lies outside the scope
	shared  = 'y' // success: nothing of it belongs to a customer or a product
)

// A reach lists who may use a route. It is written by hand: the declarations in the code are
// compared with it, never the other way around.
type reach struct {
	route    string // as the document names it
	who      string // "public", "program", or letters of roles; "program+" and letters for both
	customer string // by role, for a token of another customer
	product  string // by role, for a token of another product
	at       string // the path with the victim's things; empty: the route's
	body     string
}

// reaches has every route. The victim is customer A with a license of product lathe; the
// strangers are tokens of customer B and of product mill.
func reaches() []reach {
	const none = "-------"
	const all = "yyyyyyy"
	const plan = `{"files":[{"name":"studio.yaml","text":"PLAN"}]}`
	return []reach{
		{"GET /healthz", "public", all, all, "", ""},
		{"GET /readyz", "public", all, all, "", ""},
		{"GET /openapi.json", "public", all, all, "", ""},
		{"GET /v1/keyset", "public", all, all, "", ""},
		{"GET /v1/rootset", "public", all, all, "", ""},
		{"GET /v1/revocations", "public", all, all, "", ""},
		{"GET /.well-known/jwks.json", "public", all, all, "", ""},
		{"GET /metrics", "OAIPVU", none, none, "", ""},

		{"POST /v1/validate", "program", none, none, "", `{"product":"lathe"}`},
		{"POST /v1/check", "program", none, none, "", `{"feature":"export"}`},
		{"GET /v1/license", "program", none, none, "", ""},
		{"GET /v1/license/stream", "program", none, none, "", ""},
		{"POST /v1/leases", "program", none, none, "", `{"pool":"seats"}`},
		{"POST /v1/leases/batch", "program", none, none, "", `{}`},
		{"POST /v1/leases/{id}/renew", "program", none, none, "/v1/leases/LEASE/renew", `{"generation":1}`},
		{"DELETE /v1/leases/{id}", "program+OAPC", "00-0--0", "00-0--0", "/v1/leases/LEASE?force=true", ""},
		{"POST /v1/leases/{id}/recall", "OAPC", "00-0--0", "00-0--0", "/v1/leases/LEASE/recall", `{}`},
		{"GET /v1/tickets/{id}", "program", none, none, "/v1/tickets/TICKET", ""},
		{"DELETE /v1/tickets/{id}", "program", none, none, "/v1/tickets/TICKET", ""},
		{"POST /v1/usage", "program", none, none, "", `{}`},
		{"GET /v1/leases", "OAIPVUC", "eeeeeee", "eeeeeee", "", ""},
		{"GET /v1/usage", "OAIPVUC", "eeeeeee", "eeeeeee", "", ""},

		{"GET /v1/environments", "OAIPVU", none, none, "", ""},
		{"GET /v1/environments/{name}", "OAIPVU", none, none, "/v1/environments/production", ""},
		{"POST /v1/environments", "O", none, none, "", `{"name":"training","kind":"staging"}`},
		{"PATCH /v1/environments/{name}", "O", none, none, "/v1/environments/production", `{"kind":"development"}`},

		{"GET /v1/products", "OAIPVU", none, "eeeeee-", "", ""},
		{"GET /v1/products/{name}", "OAIPVU", none, "000000-", "/v1/products/lathe", ""},
		{"POST /v1/products", "OA", none, none, "", `{"name":"saw","owner":{"team":"t","pager":"p","runbook":"https://example.com"}}`},
		{"PATCH /v1/products/{name}", "OA", none, "00-----", "/v1/products/lathe", `{"title":"Stolen"}`},
		{"DELETE /v1/products/{name}", "OA", none, "00-----", "/v1/products/lathe", ""},
		{"POST /v1/products/{product}/features/{feature}/key", "OA", none, "00-----", "/v1/products/lathe/features/export/key", ""},
		{"POST /v1/plans/lint", "OAIPVU", none, "yyyyyy-", "", plan},
		{"POST /v1/plans/diff", "OAIPVU", none, "000000-", "", plan},
		{"POST /v1/plans", "OA", none, "00-----", "", plan},
		{"GET /v1/plans", "OAIPVU", none, "eeeeee-", "", ""},
		{"GET /v1/plans/{plan}", "OAIPVU", none, "000000-", "/v1/plans/studio", ""},

		{"GET /v1/customers", "OAIPVU", "eeeeee-", "yyyyyy-", "", ""},
		{"GET /v1/customers/{id}", "OAIPVU", "000000-", "yyyyyy-", "/v1/customers/CUSTOMER", ""},
		{"POST /v1/customers", "OAI", none, "yyy----", "", `{"name":"New"}`},
		{"PATCH /v1/customers/{id}", "OAI", "000----", none, "/v1/customers/CUSTOMER", `{"name":"Stolen"}`},
		{"DELETE /v1/customers/{id}", "OAI", "000----", none, "/v1/customers/CUSTOMER", ""},

		{"GET /v1/licenses", "OAIPVUC", "eeeeeee", "eeeeeee", "", ""},
		{"POST /v1/licenses", "OAI", "000----", "000----", "", `{"customer":"CUSTOMER","plan":"studio"}`},
		{"POST /v1/licenses/batch", "OAI", "000----", "000----", "", `{"licenses":[{"customer":"CUSTOMER","plan":"studio"}]}`},
		{"POST /v1/licenses/import", "OAI", "eee----", "eee----", "", `{"csv":"key,customer,plan\nstolen-key-0001,ref:A7,studio\n"}`},
		{"GET /v1/jobs", "OAIPVU", "eeeeee-", "eeeeee-", "", ""},
		{"GET /v1/jobs/{id}", "OAIPVU", "000000-", "000000-", "/v1/jobs/JOB", ""},
		{"GET /v1/jobs/{id}/results", "OAIPVU", "000000-", "000000-", "/v1/jobs/JOB/results", ""},
		{"POST /v1/jobs/{id}/cancel", "OAIP", "0000---", "0000---", "/v1/jobs/JOB/cancel", ""},
		{"POST /v1/jobs/{id}/rows", "OAIP", "0000---", "0000---", "/v1/jobs/JOB/rows", `{"csv":"key,customer,plan\n"}`},
		{"POST /v1/jobs/license-extend", "OAIP", "0000---", "eeee---", "", `{"filter":{"customer":"CUSTOMER"},"by":"1d"}`},
		{"POST /v1/jobs/license-renew", "OAI", "000----", "eee----", "", `{"filter":{"customer":"CUSTOMER"}}`},
		{"POST /v1/jobs/license-suspend", "OAIP", "0000---", "0000---", "", `{"filter":{"product":"lathe","customer":"CUSTOMER"}}`},
		{"POST /v1/jobs/license-reinstate", "OAIP", "eeee---", "eeee---", "", `{"csv":"license\nLICENSE\n"}`},
		{"POST /v1/jobs/plan-diff", "OAIPVU", none, "yyyyyy-", "", plan},
		{"POST /v1/jobs/plan-apply", "OA", none, "yy-----", "", plan},
		{"POST /v1/jobs/log-reconciliation", "OAPU", none, none, "", ""},
		{"POST /v1/jobs/license-import", "OAI", "eee----", "eee----", "", `{"csv":"key,customer,plan\nstolen-key-0001,ref:A7,studio\n"}`},
		{"GET /v1/licenses/{id}", "OAIPVUC", "0000000", "0000000", "/v1/licenses/LICENSE", ""},
		{"GET /v1/licenses/{id}/why", "OAIPVUC", "0000000", "0000000", "/v1/licenses/LICENSE/why", ""},
		{"GET /v1/licenses/{id}/export", "OAIP", "0000---", "0000---", "/v1/licenses/LICENSE/export", ""},
		{"POST /v1/licenses/{id}/change", "OAI", "000----", "000----", "/v1/licenses/LICENSE/change", `{"payment":"unpaid"}`},
		{"POST /v1/licenses/{id}/extend", "OAIP", "0000---", "0000---", "/v1/licenses/LICENSE/extend", `{"by":"14d"}`},
		{"POST /v1/licenses/{id}/renew", "OAI", "000----", "000----", "/v1/licenses/LICENSE/renew", `{"after":"2030-01-01T00:00:00Z"}`},
		{"POST /v1/licenses/{id}/transfer", "OAI", "000----", "000----", "/v1/licenses/LICENSE/transfer", `{"customer":"STRANGER"}`},
		{"POST /v1/licenses/{id}/suspend", "OAIP", "0000---", "0000---", "/v1/licenses/LICENSE/suspend", `{}`},
		{"POST /v1/licenses/{id}/reinstate", "OAIP", "0000---", "0000---", "/v1/licenses/LICENSE/reinstate", `{}`},
		{"POST /v1/licenses/{id}/revoke", "OA", "00-----", "00-----", "/v1/licenses/LICENSE/revoke", `{"reason":"none"}`},
		{"GET /v1/licenses/{id}/keys", "OAIPVUC", "0000000", "0000000", "/v1/licenses/LICENSE/keys", ""},
		{"POST /v1/licenses/{id}/keys", "OAI", "000----", "000----", "/v1/licenses/LICENSE/keys", `{}`},
		{"DELETE /v1/licenses/{id}/keys/{key}", "OAI", "000----", "000----", "/v1/licenses/LICENSE/keys/KEY", ""},

		{"GET /v1/tokens", "OAU", "ee---e-", "ee---e-", "", ""},
		{"GET /v1/tokens/{id}", "OAU", "00---0-", "00---0-", "/v1/tokens/TOKEN", ""},
		{"POST /v1/tokens", "OA", none, none, "", `{"name":"wider","role":"viewer","customer":"CUSTOMER","product":"lathe"}`},
		{"DELETE /v1/tokens/{id}", "OA", "00-----", "00-----", "/v1/tokens/TOKEN", ""},

		{"GET /v1/signing-keys", "OAIPVU", none, none, "", ""},
		{"POST /v1/signing-keys/rotate", "OA", none, none, "", ""},
		{"POST /v1/signing-keys/{kid}/withdraw", "OA", none, none, "/v1/signing-keys/KID/withdraw", `{}`},
		{"POST /v1/signing-keys/root/export", "O", none, none, "", ""},
		{"POST /v1/signing-keys/root/remove", "O", none, none, "", ""},
		{"POST /v1/signing-keys/root/import", "O", none, none, "", `{"copyhold":"root","iss":"urn:x","keys":[]}`},
		{"POST /v1/signing-keys/root/new", "O", none, none, "", `{}`},
		{"POST /v1/signing-keys/root/install", "O", none, none, "", `{"rootset":["a"],"keyset":["a"]}`},

		{"GET /v1/audit", "OAPU", "ee-e-e-", "ee-e-e-", "", ""},
		{"GET /v1/audit/head", "OAPU", "ee-e-e-", "ee-e-e-", "", ""},
		{"GET /v1/audit/consistency", "OAPU", "ee-e-e-", "ee-e-e-", "/v1/audit/consistency?from=1", ""},
		{"GET /v1/audit/{index}", "OAPU", "00-0-0-", "00-0-0-", "/v1/audit/INDEX", ""},
		{"GET /v1/followers", "OAPU", "ee-e-e-", "ee-e-e-", "", ""},
		{"GET /v1/followers/{name}", "OAPU", "ee-e-e-", "ee-e-e-", "/v1/followers/billing", ""},
		{"POST /v1/followers/{name}/move", "OAPU", "ee-e-e-", "ee-e-e-", "/v1/followers/own/move", `{"from":0,"to":0}`},
		{"DELETE /v1/followers/{name}", "OAPU", "00-0-0-", "00-0-0-", "/v1/followers/billing", ""},
		{"GET /v1/audit/{index}/proof", "OAPU", "00-0-0-", "00-0-0-", "/v1/audit/INDEX/proof", ""},
		{"DELETE /v1/audit/{index}/payload", "O", none, none, "/v1/audit/INDEX/payload?reason=none", ""},
		{"GET /v1/audit/reconciliation", "OAPU", none, none, "", ""},
		{"GET /v1/audit/rows", "OAPU", none, none, "", ""},
		{"POST /v1/backup", "O", none, none, "", ""},
		{"GET /v1/fence", "OAIPVU", "yyyyyy-", "yyyyyy-", "", ""},
		{"POST /v1/fence/declaration", "OA", none, none, "", `{"reason":"none"}`},
		{"GET /v1/status", "OAIPVU", "eeeeee-", "eeeeee-", "", ""},
		{"GET /v1/why/{request}", "OAIPVUC", "0000000", "0000000", "/v1/why/req-victim", ""},
	}
}

// everyRoute fails for a route that is missing in the table, and for one in the table that
// does not exist.
func (d *deployment) everyRoute() []reach {
	d.t.Helper()
	listed := map[string]bool{}
	for _, r := range reaches() {
		listed[r.route] = true
	}
	for _, op := range d.operations() {
		route := op.method + " " + op.path
		if !listed[route] {
			d.t.Errorf("nobody has written down who may use %s", route)
		}
		delete(listed, route)
	}
	for route := range listed {
		d.t.Errorf("%s does not exist", route)
	}
	return reaches()
}

// try sends a request with a credential in an environment, both of which may be empty.
// A stream is not read.
func (d *deployment) try(credential, env, method, path, body string) outcome {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	d.check(err)
	for name, value := range map[string]string{"Authorization": credential, "Copyhold-Environment": env} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := d.client.Do(req)
	d.check(err)
	defer answer.Body.Close()
	o := outcome{status: answer.StatusCode}
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		o.body, err = io.ReadAll(answer.Body)
		d.check(err)
	}
	return o
}

// stored puts a token into the database that nobody could create now, as older servers with
// fewer checks did.
func (d *deployment) stored(env licensing.Env, role access.Role, product licensing.ProductName, customer licensing.CustomerID, expires time.Time) string {
	d.t.Helper()
	var text string
	err := d.config.DB.Update(d.t.Context(), func(tx *store.Tx) error {
		id := licensing.TokenID(licensing.NewID(licensing.TokenPrefix, tx.Now(), [10]byte{byte(d.probes)}))
		d.probes++
		text = access.NewToken(env, id, [20]byte{7})
		return tx.InsertToken(d.t.Context(), store.Token{
			Env: env, ID: id, Digest: access.Hash(text).String(), Name: "stored", Role: string(role),
			Product: product, Customer: customer, CreatedAt: tx.Now(), ExpiresAt: expires,
		})
	})
	d.check(err)
	return "Bearer " + text
}

// TestEveryPairOfRouteAndCredential tries every route with every kind of credential.
// Paths name nothing that exists, so an allowed request changes little.
func TestEveryPairOfRouteAndCredential(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeploymentWithin(t, db, administered, api.Limits{BadPerAddress: 1e6, BadPerPrefix: 1e6})
		_, err := d.authority.CreateEnvironment(t.Context(), d.owner, licensing.Environment{Name: "staging", Kind: licensing.Staging})
		d.check(err)
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		roles := map[byte]string{}
		for i, role := range access.Roles() {
			req := v1.TokenRequest{Role: role}
			if role == access.Customer {
				req.Customer = l.Customer
			}
			roles[roleLetters[i]] = d.bearer(d.owner, req)
		}
		deleted, err := d.authority.CreateToken(t.Context(), d.owner, v1.TokenRequest{Name: "deleted", Role: access.Owner})
		d.check(err)
		d.check(d.authority.DeleteToken(t.Context(), d.owner, deleted.ID))
		spanning, key := "Bearer "+d.token, "License "+d.key
		never := []struct {
			name, credential, env string
			status                int
		}{
			{"nothing", "", "", http.StatusUnauthorized},
			{"a scheme alone", "Bearer", "", http.StatusUnauthorized},
			{"another scheme", "Basic b3duZXI6", "", http.StatusUnauthorized},
			{"a mistyped token", spanning + "0", "production", http.StatusUnauthorized},
			{"a token as a license key", "License " + d.token, "production", http.StatusUnauthorized},
			{"a license key as a token", "Bearer " + d.key, "", http.StatusUnauthorized},
			{"a deleted token", "Bearer " + deleted.Text, "", http.StatusUnauthorized},
			{"a token that has ended", d.stored("production", access.Owner, "", "", time.Now().Add(-time.Second)), "", http.StatusUnauthorized},
			{"a token of another environment", d.stored("staging", access.Owner, "", "", time.Time{}), "production", http.StatusForbidden},
			{"a viewer's token that spans", d.stored(access.AllEnvironments, access.Viewer, "", "", time.Time{}), "production", http.StatusForbidden},
			{"an owner's token that spans and is of a product", d.stored(access.AllEnvironments, access.Owner, "lathe", "", time.Time{}), "production", http.StatusForbidden},
			{"a token of no environment", d.stored("prodution", access.Owner, "", "", time.Time{}), "", http.StatusUnprocessableEntity},
			{"an owner's token in no environment", spanning, "prodution", http.StatusUnprocessableEntity},
			{"an owner's token in all environments", spanning, "all", http.StatusUnprocessableEntity},
			{"an owner's token in an environment without a name", spanning, "", http.StatusUnprocessableEntity},
			{"a license key in no environment", key, "prodution", http.StatusUnprocessableEntity},
			{"a license key in all environments", key, "all", http.StatusUnprocessableEntity},
			{"a license key in another environment", key, "staging", http.StatusUnauthorized},
		}
		parameter := regexp.MustCompile(`\{[^}]*\}`)
		for _, r := range d.everyRoute() {
			method, path, _ := strings.Cut(r.route, " ")
			path = parameter.ReplaceAllString(path, "nobody")
			body := ""
			if r.body != "" {
				body = "{}"
			}
			for _, n := range never {
				o := d.try(n.credential, n.env, method, path, body)
				if r.who == "public" && (o.status == http.StatusUnauthorized || o.status == http.StatusForbidden) || r.who != "public" && o.status != n.status {
					t.Errorf("%s with %s: %d, want %d: %s", r.route, n.name, o.status, n.status, o.body)
				}
			}
			letters, program := strings.CutPrefix(r.who, "program")
			for letter, credential := range map[byte]string{'k': key, 's': spanning} {
				roles[letter] = credential
			}
			for letter, credential := range roles {
				env, may := "", r.who == "public" || strings.IndexByte(letters, letter) >= 0
				switch letter {
				case 'k':
					may = r.who == "public" || program
				case 's':
					env, may = "production", r.who == "public" || strings.Contains(letters, "O")
				case 'O':
					may = may && r.route != "POST /v1/backup" // it holds all environments
				}
				o := d.try(credential, env, method, path, body)
				if refused := o.status == http.StatusForbidden || o.status == http.StatusUnauthorized; refused == may {
					t.Errorf("%s with %c: %d, and it may: %v: %s", r.route, letter, o.status, may, o.body)
				}
			}
		}
	})
}

// TestNoTokenReachesOutsideItsScope tries every route on things of one customer and one
// product with tokens of another customer and of another product, of every role.
func TestNoTokenReachesOutsideItsScope(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		v := d.victim()
		for i, role := range access.Roles() {
			ofCustomer := d.stored("production", role, "", v.stranger, time.Time{})
			customer := licensing.CustomerID("")
			if role == access.Customer {
				customer = v.license.Customer // its own, and another product
			}
			ofProduct := d.stored("production", role, "mill", customer, time.Time{})
			for _, r := range d.everyRoute() {
				d.held(r, role, "customer", ofCustomer, r.customer[i], v.names.Replace(r.at), v.names.Replace(r.body), []string{string(v.license.ID), string(v.license.Customer), v.lease, v.token, "Example"})
				d.held(r, role, "product", ofProduct, r.product[i], v.names.Replace(r.at), v.names.Replace(r.body), []string{string(v.license.ID), v.lease, v.token, "lathe"})
			}
		}
		v.unharmed(d)
	})
}

// held checks one answer to a stranger.
func (d *deployment) held(r reach, role access.Role, scope, credential string, want byte, at, body string, secrets []string) {
	d.t.Helper()
	method, path, _ := strings.Cut(r.route, " ")
	if at != "" {
		path = at
	}
	o := d.try(credential, "", method, path, body)
	ok := map[byte]bool{
		refused: o.status == http.StatusForbidden,
		hidden:  o.status == http.StatusNotFound,
		empty:   o.status/100 == 2,
		shared:  o.status/100 == 2,
	}[want]
	if !ok {
		d.t.Errorf("%s as %s of another %s: %d, want %c: %s", r.route, role, scope, o.status, want, o.body)
	}
	if want == empty {
		for _, secret := range secrets {
			if strings.Contains(string(o.body), secret) {
				d.t.Errorf("%s as %s of another %s tells %s: %s", r.route, role, scope, secret, o.body)
			}
		}
	}
}

// A victim is the target of strangers.
type victim struct {
	license      v1.License
	customer     licensing.Customer
	product      licensing.Product
	stranger     licensing.CustomerID
	lease, token string
	keys         int
	names        *strings.Replacer
}

func (d *deployment) victim() victim {
	d.t.Helper()
	ctx := d.t.Context()
	l, err := d.authority.License(ctx, d.owner, d.license)
	d.check(err)
	reference := "A7"
	_, err = d.authority.ChangeCustomer(ctx, d.owner, l.Customer, v1.CustomerChange{Reference: &reference})
	d.check(err)
	v := victim{license: v1.License(l)}
	stranger, err := d.authority.CreateCustomer(ctx, d.owner, licensing.Customer{Name: "Stranger"})
	d.check(err)
	v.stranger = stranger.ID
	_, err = d.authority.CreateProduct(ctx, d.owner, licensing.Product{Name: "mill", Owner: licensing.Owner{Team: "cam", Pager: "cam@example.com", Runbook: "https://example.com/run"}})
	d.check(err)
	_, err = d.authority.ApplyPlans(ctx, d.owner, v1.ApplyRequest{Files: []policy.File{{Name: "mill.yaml", Text: "product: mill\nplan: mill\nname: Mill\nterm: {length: 1y}\nfeatures: {on: true}\n"}}})
	d.check(err)
	token, err := d.authority.CreateToken(ctx, d.owner, v1.TokenRequest{Name: "victim", Role: access.Viewer, Customer: l.Customer, Product: "lathe"})
	d.check(err)
	v.token = string(token.ID)
	lease := d.want(http.StatusCreated, http.MethodPost, "/v1/leases", members{"request_id": "req-victim", "pool": "line", "holder": user("ann"), "nonce": nonce})
	v.lease = lease.ID
	ticket := d.want(http.StatusAccepted, http.MethodPost, "/v1/leases", members{"request_id": "req-waiting", "pool": "line", "holder": user("bob"), "nonce": nonce})
	keys, err := d.authority.Keys(ctx, d.owner, l.ID)
	d.check(err)
	signing, err := d.authority.SigningKeys(ctx, d.owner)
	d.check(err)
	log, err := d.authority.LogEntries(ctx, d.owner, ledger.LogFilter{License: l.ID}, request.PageOf{})
	d.check(err)
	d.check(d.authority.MoveFollower(ctx, d.owner, "billing", v1.FollowerMove{}))
	job, err := d.authority.Jobs.Import(ctx, d.owner, v1.ImportJobRequest{ImportRequest: v1.ImportRequest{CSV: "key,customer,plan\n"}, JobPart: v1.JobPart{More: true}})
	d.check(err)
	v.keys = len(keys)
	v.license, v.customer, v.product = v.now(d)
	plan := strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(strings.Replace(everyModel, "max_layers: 50", "max_layers: 51", 1))
	v.names = strings.NewReplacer("LICENSE", string(l.ID), "CUSTOMER", string(l.Customer), "STRANGER", string(stranger.ID), "LEASE", lease.ID, "TICKET", ticket.Ticket,
		"JOB", string(job.ID), "TOKEN", v.token, "KEY", string(keys[0].ID), "KID", signing[0].Kid, "INDEX", strconv.FormatInt(log.Items[0].Index, 10), "PLAN", plan)
	return v
}

func (v victim) now(d *deployment) (v1.License, licensing.Customer, licensing.Product) {
	d.t.Helper()
	ctx := d.t.Context()
	l, err := d.authority.License(ctx, d.owner, d.license)
	d.check(err)
	customer, err := d.authority.Customer(ctx, d.owner, l.Customer)
	d.check(err)
	product, err := d.authority.Product(ctx, d.owner, "lathe")
	d.check(err)
	return v1.License(l), customer, product
}

// unharmed checks that the victim is unchanged.
func (v victim) unharmed(d *deployment) {
	d.t.Helper()
	ctx := d.t.Context()
	l, customer, product := v.now(d)
	if l.Seq != v.license.Seq || l.Customer != v.license.Customer || customer.Name != v.customer.Name || product.Title != v.product.Title {
		d.t.Errorf("changed: %+v, %+v, %+v", l, customer, product)
	}
	licenses, err := d.authority.Licenses(ctx, d.owner, catalog.LicenseFilter{}, request.PageOf{})
	d.check(err)
	leases, err := d.authority.Leases(ctx, d.owner, authority.LeaseFilter{}, request.PageOf{})
	d.check(err)
	keys, err := d.authority.Keys(ctx, d.owner, l.ID)
	d.check(err)
	_, err = d.authority.Token(ctx, d.owner, licensing.TokenID(v.token))
	d.check(err)
	if len(licenses.Items) != 1 || len(leases.Items) != 1 || len(keys) != v.keys {
		d.t.Errorf("%d licenses, %d leases, %d keys", len(licenses.Items), len(leases.Items), len(keys))
	}
	all, err := d.authority.LogEntries(ctx, d.owner, ledger.LogFilter{License: l.ID}, request.PageOf{})
	d.check(err)
	for _, e := range all.Items {
		if e.Erased {
			d.t.Errorf("entry %d was erased", e.Index)
		}
	}
	plan, err := d.authority.Plan(ctx, d.owner, "studio", "")
	d.check(err)
	if len(plan.Revisions) != 1 {
		d.t.Errorf("plan studio has %d revisions", len(plan.Revisions))
	}
}
