package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

const dated = `
product: lathe
plan: studio
term: {length: 1y, start: date}
features: {export: true}
addons: {more: {pools: {seats: +5}}}
pools:
  seats: {holder: user, capacity: 5, lease: 15m, grace: 1h, full: deny}
`

const endless = `
product: lathe
plan: endless
term: {length: 1000y}
features: {export: true, layers: 9007199254740000}
addons: {more: {features: {layers: +1000}}}
meters:
  bytes: {unit: byte, quota: 10, per: month, overage: allow}
`

// TestDatesOutsideTheCalendarAreRefusedEverywhere gives every input for a date one that cannot be
// written or means no date, and every input for a length one that leads to such a date.
func TestDatesOutsideTheCalendarAreRefusedEverywhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, endlessFirst(dated))
		owner := d.bearer(access.System("production", "test"), v1.TokenRequest{Role: access.Owner})
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		refused := func(method, path string, body any) {
			t.Helper()
			o := d.ask(method, path, body, owner)
			if o.status != http.StatusUnprocessableEntity || !regexp.MustCompile(`9999|is not a date|1,000 years|(ends_before|since) is not`).Match(o.body) {
				t.Errorf("%s %s %v: %d %s", method, path, body, o.status, o.body)
			}
		}
		own := "/v1/licenses/" + string(d.license)
		keys, err := d.authority.SigningKeys(t.Context(), d.owner)
		d.check(err)
		issue := func(with members) members {
			all := members{"customer": l.Customer, "plan": "dated"}
			for name, value := range with {
				all[name] = value
			}
			return all
		}
		for _, bad := range []string{
			"0001-01-01T00:00:00Z", "0000-06-01T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z",
			"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z",
		} {
			exception := []members{{"feature": "export", "value": false, "reason": "test", "until": bad}}
			grant := []members{{"addon": "more", "quantity": 1, "from": bad}}
			refused("POST", "/v1/licenses", issue(members{"start": bad}))
			refused("POST", "/v1/licenses", issue(members{"start": "2027-01-01T00:00:00Z", "end": bad}))
			refused("POST", "/v1/licenses", issue(members{"start": "2027-01-01T00:00:00Z", "maintenance": bad}))
			refused("POST", "/v1/licenses", issue(members{"start": "2027-01-01T00:00:00Z", "exceptions": exception}))
			refused("POST", "/v1/licenses", issue(members{"start": "2027-01-01T00:00:00Z", "addons": grant}))
			refused("POST", own+"/change", members{"except": exception})
			refused("POST", own+"/change", members{"add": grant, "when": "renewal"})
			refused("POST", own+"/extend", members{"until": bad})
			refused("POST", "/v1/tokens", members{"name": "t", "role": "owner", "expires_at": bad})
			refused("POST", "/v1/signing-keys/"+keys[0].Kid+"/withdraw", members{"reason": "test", "cutoff": bad})
			if year, _, _ := strings.Cut(bad, "-"); year != "1970" && year != "9999" { // their last and first seconds filter as well as any
				refused("GET", "/v1/licenses?ends_before="+url.QueryEscape(bad), nil)
				refused("GET", "/v1/audit?since="+url.QueryEscape(bad), nil)
			}
			plan := strings.Replace(dated, "{export: true}", "{export: {value: true, until: "+bad+"}}", 1)
			refused("POST", "/v1/plans", members{"files": []members{{"name": "p.yaml", "text": plan}}})
			var imported struct{ Imported, Failed int }
			d.as(owner, http.StatusOK, "POST", "/v1/licenses/import", members{"csv": "key,customer,plan,start\n" +
				"foreign-key-1," + string(l.Customer) + ",dated," + bad + "\n"}, &imported)
			if imported.Imported != 0 || imported.Failed != 1 {
				t.Errorf("imported with the start %s: %+v", bad, imported)
			}
			if o := d.ask("POST", "/v1/usage", members{"events": []members{{"id": bad, "meter": "bytes", "quantity": 1, "at": bad}}}); o.status != http.StatusUnprocessableEntity {
				t.Errorf("usage at %s: %d %s", bad, o.status, o.body)
			}
		}
		for _, at := range []int64{-62135596800, -1, 253402300800, license.MaxInt} {
			if o := d.ask("POST", "/v1/usage", members{"events": []members{{"id": fmt.Sprint(at), "meter": "bytes", "quantity": 1, "at": at}}}); o.status != http.StatusUnprocessableEntity {
				t.Errorf("usage at %d: %d %s", at, o.status, o.body)
			}
		}
		for _, released := range []int64{-1, 253402300800} {
			if o := d.ask("POST", "/v1/validate", members{"product": "lathe", "nonce": nonce, "released": released}); o.status != http.StatusUnprocessableEntity {
				t.Errorf("a build released at %d: %d %s", released, o.status, o.body)
			}
		}
		refused("POST", own+"/extend", members{"by": "9000y"})
		refused("POST", "/v1/licenses", issue(members{"start": "9999-06-01T00:00:00Z"})) // a year from there
		for _, term := range []string{"{length: 9000y}", "{perpetual: true, maintenance: 9000y}", "{length: 1y, grace: 400000d}"} {
			plan := strings.Replace(dated, "{length: 1y, start: date}", term, 1)
			refused("POST", "/v1/plans", members{"files": []members{{"name": "p.yaml", "text": plan}}})
		}
		for range 6 { // six thousand years fit
			d.as(owner, http.StatusOK, "POST", own+"/extend", members{"by": "1000y"}, nil)
		}
		after, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		refused("POST", own+"/extend", members{"by": "1000y"})
		if want := l.End.AddDate(6000, 0, 0); !after.End.Equal(want) || after.Seq.Counter != l.Seq.Counter+6 {
			t.Errorf("the license ends at %v after %d changes, want %v after 6", after.End, after.Seq.Counter-l.Seq.Counter, want)
		}
		d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe", "nonce": nonce, "released": time.Now().Unix()})
	})
}

// endlessFirst is a file with a plan studio without end and another plan, dated.
func endlessFirst(other string) string {
	return strings.Replace(endless, "plan: endless", "plan: studio", 1) + "---" + strings.Replace(other, "plan: studio", "plan: dated", 1)
}

// TestNumbersBeyondWhatJSONCarriesAreRefused gives numbers and sums beyond 2^53-1. Every answer in these
// tests must stay within the same bound.
func TestNumbersBeyondWhatJSONCarriesAreRefused(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, endlessFirst(dated))
		owner := d.bearer(access.System("production", "test"), v1.TokenRequest{Role: access.Owner})
		l, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		own := "/v1/licenses/" + string(d.license)
		for _, body := range []members{
			{"capacity": members{"seats": int64(license.MaxInt + 1)}},
			{"except": []members{{"meter": "bytes", "adjust": members{"amount": int64(license.MaxInt + 1)}, "reason": "test"}}},
			{"except": []members{{"meter": "bytes", "adjust": members{"add": true, "amount": int64(license.MaxInt)}, "reason": "test"}}},
			{"except": []members{{"feature": "layers", "value": int64(license.MaxInt + 1), "reason": "test"}}},
			{"add": []members{{"addon": "more", "quantity": 1}}}, // 740,000 and 1,000 is beyond 740,991
			{"add": []members{{"addon": "more", "quantity": int64(1 << 60)}}},
		} {
			o := d.ask("POST", own+"/change", body, owner)
			if o.status != http.StatusBadRequest && o.status != http.StatusUnprocessableEntity || strings.Contains(string(o.body), "9223372") {
				t.Errorf("%v: %d %s", body, o.status, o.body)
			}
		}
		record := func(id, quantity, want string) {
			t.Helper()
			var a struct {
				Results []struct {
					Status   string
					Decision license.Decision
				}
			}
			o := d.ask("POST", "/v1/usage", members{"events": []members{{"id": id, "meter": "bytes", "quantity": quantity}}, "nonce": nonce})
			o.decode(t, &a)
			if o.status != http.StatusOK || a.Results[0].Status != want {
				t.Errorf("%s of %s: %d %s", id, quantity, o.status, o.body)
			}
		}
		record("too-many", "9007199254740992", "invalid")
		record("most", "9007199254740990", "recorded")
		record("sum", "2", "denied")
		record("last", "1", "recorded")
		record("none", "1", "denied")
		var used struct{ Items []struct{ Used string } }
		d.as(owner, http.StatusOK, "GET", "/v1/usage", nil, &used)
		if len(used.Items) != 1 || used.Items[0].Used != "9007199254740991" {
			t.Errorf("used: %+v", used.Items)
		}
		a := d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe", "nonce": nonce})
		if doc := d.document(a.License); doc.Meters["bytes"].Used != licensing.MaxQuantity {
			t.Errorf("the document says that %d are used", doc.Meters["bytes"].Used)
		}
		after, err := d.authority.License(t.Context(), d.owner, d.license)
		d.check(err)
		if after.Seq != l.Seq {
			t.Errorf("what was refused changed the license: %v, %v before", after.Seq, l.Seq)
		}
	})
}
