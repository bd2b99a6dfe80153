package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/request"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// raw sends a request unchanged and returns the status of the answer.
func (d *deployment) raw(request string) int {
	d.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	d.check(err)
	defer conn.Close()
	_, err = io.WriteString(conn, strings.ReplaceAll(request, "\n", "\r\n"))
	d.check(err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	d.check(err)
	defer resp.Body.Close()
	return resp.StatusCode
}

// TestWhatIsNoTextReachesNoDatabase: one of the engines would fail on it.
func TestWhatIsNoTextReachesNoDatabase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		for _, bad := range []string{"%00", "%ff", "%0d%0aevil:1", "%C2%9B31m"} {
			for _, line := range []string{
				"GET /v1/licenses/" + bad, "GET /v1/leases?holder=" + bad, "GET /v1/tokens/" + bad, "GET /v1/why/" + bad,
				"GET /v1/customers?reference=" + bad, "DELETE /v1/leases/" + bad + "?force=true", "GET /v1/plans/" + bad,
			} {
				if got := d.raw(line + " HTTP/1.1\nHost: localhost\nCopyhold-Environment: production\nAuthorization: Bearer " + d.token + "\n\n"); got != http.StatusBadRequest {
					t.Errorf("%s: %d", line, got)
				}
			}
			if got := d.raw("GET /v1/tickets/" + bad + " HTTP/1.1\nHost: localhost\nAuthorization: License " + d.key + "\n\n"); got != http.StatusBadRequest {
				t.Errorf("ticket %s: %d", bad, got)
			}
		}
		for _, header := range []string{"Copyhold-Environment: \xff", "Copyhold-Environment: production\nIdempotency-Key: \xff"} {
			body := `{"name":"Acme"}`
			if got := d.raw(fmt.Sprintf("POST /v1/customers HTTP/1.1\nHost: localhost\n%s\nAuthorization: Bearer %s\nContent-Type: application/json\nContent-Length: %d\n\n%s", header, d.token, len(body), body)); got != http.StatusBadRequest {
				t.Errorf("%q: %d", header, got)
			}
		}
		admin := d.bearer(d.owner, v1.TokenRequest{Role: access.Admin})
		for _, body := range []members{{"name": "a\x00b"}, {"name": "\x1b[31m"}, {"name": "Acme", "metadata": members{"\x00": "x"}}} {
			d.as(admin, http.StatusBadRequest, "POST", "/v1/customers", body, nil)
		}
	})
}

// TestHalfASurrogatePairIsRefused: a decoder replaces it with U+FFFD, and two people, keys
// or events would become the same.
func TestHalfASurrogatePairIsRefused(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	post := func(path, credential, body string) int {
		return d.raw(fmt.Sprintf("POST %s HTTP/1.1\nHost: localhost\nCopyhold-Environment: production\nAuthorization: %s\nContent-Type: application/json\nContent-Length: %d\n\n%s",
			path, credential, len(body), body))
	}
	for _, half := range []string{`\ud800`, `\udfff`, `\udc00\ud800`, `\ud83d\u0041`, "\ufffd", "\xed\xa0\x80"} {
		for _, body := range []string{`{"name":"Acme` + half + `"}`, `{"name":"Acme","metadata":{"a` + half + `":"b"}}`, `{"name":"Acme","reference":"` + half + `"}`} {
			if got := post("/v1/customers", "Bearer "+d.token, body); got != http.StatusBadRequest {
				t.Errorf("%s: %d", body, got)
			}
		}
		for path, body := range map[string]string{
			"/v1/leases":       `{"request_id":"a","pool":"seats","holder":{"kind":"user","id":"ann` + half + `"},"instance":"a"}`,
			"/v1/leases/batch": `{"acquire":[{"request_id":"a` + half + `","pool":"seats","holder":{"kind":"user","id":"ann"},"instance":"a"}]}`,
			"/v1/validate":     `{"product":"lathe","holder":{"kind":"user","id":"ann` + half + `"}}`,
			"/v1/check":        `{"pool":"seats","holder":{"kind":"user","id":"ann` + half + `"}}`,
		} {
			if got := post(path, "License "+d.key, body); got != http.StatusBadRequest && got != http.StatusUnprocessableEntity && (path != "/v1/leases/batch" || got != http.StatusOK) {
				t.Errorf("%s %s: %d", path, body, got)
			}
		}
	}
	held, err := d.authority.Leases(t.Context(), d.owner, authority.LeaseFilter{}, request.PageOf{Limit: 10})
	d.check(err)
	if len(held.Items) != 0 {
		t.Errorf("seats are held by somebody who is not named: %+v", held.Items)
	}
	if got := post("/v1/customers", "Bearer "+d.token, `{"name":"Acme \ud83d\ude80"}`); got != http.StatusCreated {
		t.Errorf("a whole pair: %d", got)
	}
}

// TestAHealthCheckWithoutAHostIsAnswered: load balancers use HTTP/1.0, and browsers
// that were lured here always send a host.
func TestAHealthCheckWithoutAHostIsAnswered(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	if got := d.raw("GET /healthz HTTP/1.0\n\n"); got != http.StatusOK {
		t.Errorf("without a host: %d", got)
	}
	if got := d.raw("GET /healthz HTTP/1.1\nHost: evil.example\n\n"); got != http.StatusMisdirectedRequest {
		t.Errorf("by a foreign name: %d", got)
	}
}

// TestABatchIsBounded: an empty request takes three bytes, and its answer takes hundreds.
func TestABatchIsBounded(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	d.want(http.StatusRequestEntityTooLarge, "POST", "/v1/leases/batch", members{"release": slices.Repeat([]members{{}}, 1001)})
}

// TestNamesThatProgramsInventDoNotGrowTheMetrics: a label costs memory forever.
func TestNamesThatProgramsInventDoNotGrowTheMetrics(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	holder := members{"kind": "user", "id": "ann"}
	d.want(http.StatusOK, "POST", "/v1/check", members{"pool": "invented-pool", "holder": holder})
	d.want(http.StatusOK, "POST", "/v1/check", members{"feature": "invented-feature"})
	d.want(http.StatusOK, "POST", "/v1/check", members{"meter": "invented-meter"})
	d.want(http.StatusConflict, "POST", "/v1/leases", members{"request_id": "r1", "pool": "invented-pool", "holder": holder})
	d.want(http.StatusOK, "POST", "/v1/usage", members{"events": []members{{"id": "e1", "meter": "invented-meter", "quantity": 1}}})
	d.want(http.StatusOK, "POST", "/v1/usage", members{"events": []members{{"id": "e2", "meter": "calls", "quantity": "nonsense"}}})
	text := string(d.as(d.bearer(d.owner, v1.TokenRequest{Role: access.Viewer}), http.StatusOK, "GET", "/metrics", nil, nil).body)
	if !strings.Contains(text, `code="no_such_pool"`) || !strings.Contains(text, `code="invalid"`) {
		t.Error("the metrics do not count what was asked")
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "invented") || strings.Contains(line, `outcome=""`) {
			t.Error(line)
		}
	}
}

// TestTheMetricsOfAllAreNotForATokenOfOne: metrics contain pools and plans of every product.
func TestTheMetricsOfAllAreNotForATokenOfOne(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	d.as(d.bearer(d.owner, v1.TokenRequest{Role: access.Operator, Product: "lathe"}), http.StatusForbidden, "GET", "/metrics", nil, nil)
}

// TestTheMetricsOfOneEnvironment: a token of one environment sees only its own numbers,
// and one that spans environments sees all.
func TestTheMetricsOfOneEnvironment(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	d.config.Metrics.Decision("staging", "lathe", "seats", "allowed", "ok")
	d.config.Metrics.Decision("production", "lathe", "seats", "allowed", "ok")
	one := string(d.as(d.bearer(d.owner, v1.TokenRequest{Role: access.Operator}), http.StatusOK, "GET", "/metrics", nil, nil).body)
	if strings.Contains(one, `environment="staging"`) || !strings.Contains(one, `environment="production"`) || !strings.Contains(one, "process_resident_memory_bytes") {
		t.Errorf("a token of production sees\n%s", one)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", d.url+"/metrics", nil)
	d.check(err)
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Copyhold-Environment", "production")
	if all := d.do(req); !strings.Contains(string(all.body), `environment="staging"`) {
		t.Errorf("a token of all environments sees\n%s", all.body)
	}
}

// TestWhoAsksIsSaidOnce: a proxy may check a different header from the one that the server uses.
func TestWhoAsksIsSaidOnce(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	for _, twice := range []string{
		"Authorization: License " + d.key + "\nAuthorization: License " + d.key,
		"Authorization: Bearer " + d.token + "\nCopyhold-Environment: production\nCopyhold-Environment: staging",
		"Authorization: Bearer " + d.token + "\nCopyhold-Environment: production\nIdempotency-Key: a\nIdempotency-Key: b",
	} {
		if got := d.raw("GET /v1/keyset?env=production HTTP/1.1\nHost: localhost\n" + twice + "\n\n"); got != http.StatusBadRequest {
			t.Errorf("%s: %d", twice, got)
		}
	}
}
