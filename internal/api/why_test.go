package api_test

import (
	"net/http"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

// TestADenialIsExplainedByTheIDThatItsAnswerShows: header, problem, decision, signed reply and
// log have the same id, and why accepts it.
func TestADenialIsExplainedByTheIDThatItsAnswerShows(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		auditor := d.bearer(d.owner, v1.TokenRequest{Role: access.Auditor})
		for _, who := range []string{"ann", "bob"} {
			d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who})
		}
		o := d.ask("POST", "/v1/leases", members{"request_id": "cid", "nonce": nonce, "pool": "seats", "holder": user("cid"), "instance": "cid"})
		var denied struct {
			Instance, Reply string
			Decision        license.Decision
		}
		o.decode(t, &denied)
		id := o.header.Get("X-Request-Id")
		if o.status != http.StatusConflict || id == "" || denied.Decision.RequestID != id || denied.Instance != "urn:copyhold:request:"+id ||
			d.reply(denied.Reply).Decision.RequestID != id {
			t.Errorf("%d %q %s", o.status, id, o.body)
		}
		for _, name := range []string{id, "cid", denied.Instance} {
			var why v1.Explained
			d.as(auditor, http.StatusOK, "GET", "/v1/why/"+name, nil, &why)
			if why.Pool != "seats" || why.Holder != "cid" || why.Decision.Code != license.CodePoolFull || why.Call != id {
				t.Errorf("%s: %+v", name, why)
			}
		}
		var page struct{ Items []v1.LogEntry }
		d.as(auditor, http.StatusOK, "GET", "/v1/audit?type=denial.first", nil, &page)
		if len(page.Items) != 1 || page.Items[0].Call != id || page.Items[0].Request != "cid" {
			t.Errorf("%+v", page.Items)
		}
	})
}
