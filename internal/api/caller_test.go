package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
)

// TestEveryRequestSaysWhatCalls: the same members in every body, parameters
// if there is none, and once for a whole batch.
func TestEveryRequestSaysWhatCalls(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		said := func(m members) members {
			m["service"], m["version"], m["instance"], m["region"] = "mill", "4.2", "pod-1", "eu"
			return m
		}
		lease := func(pool, holder string) members {
			return members{"request_id": "r-" + holder, "pool": pool, "holder": user(holder)}
		}
		a := d.want(201, "POST", "/v1/leases", said(lease("seats", "ann")))
		a = d.want(200, "POST", "/v1/leases/"+a.ID+"/renew", members{"generation": a.Generation, "version": "4.3", "instance": "pod-1"})
		own := lease("big", "cleo")
		own["service"] = "lathe"
		d.want(200, "POST", "/v1/leases/batch", said(members{"acquire": []any{lease("big", "bob"), own}}))
		d.want(200, "POST", "/v1/usage", said(members{"events": []any{members{"id": "e1", "meter": "calls", "quantity": 1}}}))
		d.want(200, "POST", "/v1/validate", said(members{"product": "lathe"}))
		d.want(200, "POST", "/v1/check", members{"pool": "seats", "service": "saw", "instance": "pod-2"})

		type caller struct{ Service, Version, Instance, Region string }
		var leases struct {
			Items []struct {
				Holder struct{ ID string }
				caller
			}
		}
		viewer := d.bearer(d.owner, v1.TokenRequest{Role: access.Viewer})
		d.as(viewer, 200, "GET", "/v1/leases", nil, &leases)
		want := map[string]caller{
			"ann": {"mill", "4.3", "pod-1", "eu"}, "bob": {"mill", "4.2", "pod-1", "eu"}, "cleo": {"lathe", "4.2", "pod-1", "eu"},
		}
		for _, l := range leases.Items {
			if l.caller != want[l.Holder.ID] {
				t.Errorf("%s: %+v", l.Holder.ID, l.caller)
			}
		}
		if len(leases.Items) != len(want) {
			t.Errorf("%d leases of %d", len(leases.Items), len(want))
		}
		var used struct{ Items []struct{ Last caller } }
		if d.as(viewer, 200, "GET", "/v1/usage", nil, &used); len(used.Items) != 1 || used.Items[0].Last != want["bob"] {
			t.Errorf("usage: %+v", used.Items)
		}
		var detail struct{ Programs []caller }
		if d.as(viewer, 200, "GET", "/v1/licenses/"+string(d.license), nil, &detail); len(detail.Programs) != 2 || !slices.Contains(detail.Programs, want["bob"]) || !slices.Contains(detail.Programs, caller{Service: "saw", Instance: "pod-2"}) {
			t.Errorf("validated and checked by %+v", detail.Programs)
		}
		d.want(200, "DELETE", "/v1/leases/"+a.ID+"?generation=2&service=mill&version=4.4&instance=pod-1&region=eu", nil)

		for _, field := range []string{"service", "version", "instance", "region"} {
			long := strings.Repeat("x", 201)
			for path, body := range map[string]members{
				"/v1/validate": {"product": "lathe"}, "/v1/check": {"pool": "seats"}, "/v1/leases": lease("seats", "dan"), "/v1/leases/x/renew": {"generation": 1},
				"/v1/usage": {"events": []any{members{"id": "e2", "meter": "calls", "quantity": 1}}},
			} {
				body[field] = long
				o := d.ask("POST", path, body)
				var p struct{ Code, Field string }
				if o.decode(t, &p); o.status != http.StatusUnprocessableEntity || p.Code != "invalid" || p.Field != field {
					t.Errorf("%s with a %s of 201 bytes: %d %s", path, field, o.status, o.body)
				}
			}
			if o := d.ask("DELETE", "/v1/leases/x?generation=1&"+field+"="+long, nil); o.status != http.StatusUnprocessableEntity {
				t.Errorf("release with a %s of 201 bytes: %d %s", field, o.status, o.body)
			}
		}
	})
}
