package api_test

import (
	"net/http"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
)

func TestAdministratorsSeeWhoHoldsAndWhatWasUsed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db, everyModel)
		for _, who := range []string{"ann", "bob"} {
			d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who})
		}
		viewer := d.bearer(d.owner, authority.TokenRequest{Name: "viewer", Role: access.Viewer})
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
		var why authority.Explanation
		d.as(viewer, http.StatusOK, "GET", "/v1/licenses/"+string(d.license)+"/why", nil, &why)
		if full := why.Pools["seats"]; len(full.Holders) != 2 || full.Holders[0].Holder != "ann" || full.FreeAt == 0 {
			t.Errorf("who holds the full pool: %+v", full)
		}
		if list("customer=cus_00000000000000000000000000"); len(page.Items) != 0 {
			t.Errorf("leases of a customer who is none: %+v", page)
		}
		d.ask("POST", "/v1/usage", members{"events": []members{{"id": "e1", "meter": "calls", "quantity": "1.25"}}})
		var used struct {
			Items []struct{ Meter, Used, Quota, Unit string }
		}
		d.as(viewer, http.StatusOK, "GET", "/v1/usage?license="+string(d.license), nil, &used)
		if len(used.Items) != 1 || used.Items[0].Used != "1.25" || used.Items[0].Quota != "10" || used.Items[0].Unit != "call" {
			t.Errorf("usage: %+v", used)
		}
	})
}
