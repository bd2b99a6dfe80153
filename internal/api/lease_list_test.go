package api_test

import (
	"net/http"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

func TestAdministratorsSeeWhoHoldsAndWhatWasUsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		for _, who := range []string{"ann", "bob"} {
			d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who})
		}
		viewer := d.bearer(d.owner, v1.TokenRequest{Name: "viewer", Role: access.Viewer})
		var page struct {
			Items []struct {
				ID, Pool string
				Holder   struct{ Kind, ID string }
			}
			Next string
		}
		list := func(query string) {
			t.Helper()
			page.Items, page.Next = nil, ""
			d.as(viewer, http.StatusOK, "GET", "/v1/leases?"+query, nil, &page)
		}
		list("limit=1")
		if len(page.Items) != 1 || page.Items[0].Holder.ID != "ann" || page.Items[0].Holder.Kind != "user" || page.Next == "" {
			t.Fatalf("the first page: %+v", page)
		}
		list("limit=1&cursor=" + page.Next)
		if len(page.Items) != 1 || page.Items[0].Holder.ID != "bob" || page.Next != "" {
			t.Errorf("the second page: %+v", page)
		}
		if list("holder=bob&pool=seats&license=" + string(d.license)); len(page.Items) != 1 {
			t.Errorf("bob's leases: %+v", page)
		}
		d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "cell", "pool": "machines", "instance": "K3J9.0", "holder": members{
			"kind": "machine", "id": "K3J9", "name": "cell-4", "components": members{"board": "9f2c", "drive": "77ab"},
		}})
		var names struct {
			Items []struct {
				Customer     string
				CustomerName string `json:"customer_name"`
				Plan         string
				Holder       struct{ Name string }
			}
		}
		for path, want := range map[string]int{"/v1/licenses": 1, "/v1/leases?pool=seats": 2, "/v1/leases?holder=machine:K3J9": 1} {
			if d.as(viewer, http.StatusOK, "GET", path, nil, &names); len(names.Items) != want || names.Items[0].CustomerName != "Example" || names.Items[0].Plan != "studio" || names.Items[0].Customer == "" {
				t.Errorf("%s: %+v", path, names)
			}
			if strings.HasSuffix(path, "K3J9") && names.Items[0].Holder.Name != "cell-4" {
				t.Errorf("a machine's lease: %+v", names.Items[0])
			}
			names.Items = nil
		}
		d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "again", "pool": "machines", "holder": members{
			"kind": "machine", "id": "K3J9", "name": "cell-5", "components": members{"board": "9f2c", "drive": "77ab"},
		}})
		if d.as(viewer, http.StatusOK, "GET", "/v1/leases?holder=K3J9", nil, &names); names.Items[0].Holder.Name != "cell-5" {
			t.Errorf("a machine that was renamed: %+v", names.Items[0])
		}
		d.bearer(d.owner, v1.TokenRequest{Name: "example", Role: access.Customer, Customer: licensing.CustomerID(names.Items[0].Customer)})
		auditor := d.bearer(d.owner, v1.TokenRequest{Name: "auditor", Role: access.Auditor})
		names.Items = nil
		d.as(auditor, http.StatusOK, "GET", "/v1/tokens", nil, &names)
		limited := 0
		for _, of := range names.Items { // two of one millisecond are in no order
			if of.Customer != "" && of.CustomerName == "Example" {
				limited++
			}
		}
		if limited != 1 {
			t.Errorf("a customer's token: %+v", names.Items)
		}
		var why v1.Explanation
		d.as(viewer, http.StatusOK, "GET", "/v1/licenses/"+string(d.license)+"/why", nil, &why)
		if full := why.Pools["seats"]; len(full.Holders) != 2 || full.Holders[0].Holder != "ann" || full.FreeAt == 0 {
			t.Errorf("who holds the full pool: %+v", full)
		}
		if list("customer=cus_00000000000000000000000000"); len(page.Items) != 0 {
			t.Errorf("leases of a customer who is none: %+v", page)
		}
		d.ask("POST", "/v1/usage", members{"events": []members{{"id": "e1", "meter": "calls", "quantity": "1.25"}}})
		var used struct {
			Items []struct {
				Meter, Used, Quota, Unit string
				CustomerName             string `json:"customer_name"`
			}
		}
		d.as(viewer, http.StatusOK, "GET", "/v1/usage?license="+string(d.license), nil, &used)
		if len(used.Items) != 1 || used.Items[0].CustomerName != "Example" || used.Items[0].Used != "1.25" || used.Items[0].Quota != "10" || used.Items[0].Unit != "call" {
			t.Errorf("usage: %+v", used)
		}
	})
}
