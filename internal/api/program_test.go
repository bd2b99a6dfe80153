package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/postgres"
	"copyhold.dev/internal/store/storetest"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

func TestAValidationIsSignedAndBoundToItsQuestion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		a := d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe", "nonce": nonce, "features": []string{"export"}})
		if a.Decision.Outcome != license.Allowed || a.Decision.State != license.StateValid {
			t.Errorf("%+v", a.Decision)
		}
		doc, r := d.document(a.License), d.reply(a.Reply)
		if err := r.Covers(a.License); err != nil || r.Decision.Code != a.Decision.Code {
			t.Errorf("the reply speaks of something else: %v", err)
		}
		if doc.Subject != string(d.license) || doc.Audience[0] != "lathe" || !doc.Features["export"].Value.On() || doc.Pools["seats"].Capacity != 2 {
			t.Errorf("%+v", doc)
		}
		if doc.Refresh[0] <= doc.IssuedAt || doc.Refresh[1] <= doc.Refresh[0] {
			t.Errorf("no window to refresh in: %v", doc.Refresh)
		}
		again := d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe"})
		if again.License != a.License || again.Reply != "" {
			t.Error("the document is signed anew though nothing changed, or an unasked question was answered")
		}
		if _, err := d.verifier.Reply(a.Reply, "an0ther-nonce", time.Now().Unix()); err == nil {
			t.Error("a reply is believed for another question")
		}
	})
}

func TestAValidationDeniesByDecisionAndNotByError(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	for _, tc := range []struct {
		name string
		body members
		code string
	}{
		{"another product", members{"product": "mill", "nonce": nonce}, license.CodeWrongProduct},
		{"a feature that is absent", members{"product": "lathe", "nonce": nonce, "features": []string{"laser"}}, license.CodeFeatureAbsent},
	} {
		a := d.want(http.StatusOK, "POST", "/v1/validate", tc.body)
		if a.Decision.Outcome != license.Denied || a.Decision.Code != tc.code || a.Decision.Reason == "" || a.Decision.Rule == "" {
			t.Errorf("%s: %+v", tc.name, a.Decision)
		}
		if tc.code != license.CodeWrongProduct {
			if r := d.reply(a.Reply); r.Decision.Code != tc.code {
				t.Errorf("%s: the reply says %s", tc.name, r.Decision.Code)
			}
		}
	}
}

// TestAChangeOfTheLicenseIsSeenAtOnce covers every validation that begins
// after the change was acknowledged.
func TestAChangeOfTheLicenseIsSeenAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		before := d.document(d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe"}).License)
		_, err := d.authority.SuspendLicense(t.Context(), d.owner, d.license, "test")
		d.check(err)
		a := d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe", "nonce": nonce})
		doc := d.document(a.License)
		if a.Decision.Code != license.CodeSuspended || doc.Status != license.Suspended || doc.Seq.Compare(before.Seq) <= 0 {
			t.Errorf("%+v, status %s, seq %v after %v", a.Decision, doc.Status, doc.Seq, before.Seq)
		}
		if d.reply(a.Reply).Decision.Code != license.CodeSuspended {
			t.Error("the denial is not signed")
		}
		_, err = d.authority.ReinstateLicense(t.Context(), d.owner, d.license, "test")
		d.check(err)
		if a := d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe"}); a.Decision.Outcome != license.Allowed {
			t.Errorf("%+v", a.Decision)
		}
	})
}

func TestARevocationIsListed(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	var list struct {
		Revocations string
		Number      int64
	}
	first := d.get("/v1/revocations", &list)
	if r, err := d.verifier.Revocations(list.Revocations, time.Now().Unix()); err != nil || list.Number != 0 || r.Of(string(d.license)) != nil {
		t.Fatalf("%v, %v", r, err)
	}
	_, err := d.authority.RevokeLicense(t.Context(), d.owner, d.license, v1.RevokeRequest{Reason: "test"})
	d.check(err)
	second := d.get("/v1/revocations", &list)
	r, err := d.verifier.Revocations(list.Revocations, time.Now().Unix())
	if err != nil || list.Number != 1 || r.Of(string(d.license)) == nil || r.Seq.Counter != 1 {
		t.Errorf("%d, %+v, %v", list.Number, r, err)
	}
	if first.header.Get("Etag") == second.header.Get("Etag") {
		t.Error("the tag did not change with the list")
	}
}

func TestWhatIsPublishedIsNotSentAgain(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	for _, path := range []string{"/v1/keyset", "/v1/rootset", "/v1/revocations", "/.well-known/jwks.json"} {
		var body map[string]any
		tag := d.get(path, &body).header.Get("Etag")
		req, err := http.NewRequestWithContext(t.Context(), "GET", d.url+path, nil)
		d.check(err)
		req.Header.Set("If-None-Match", tag)
		answer, err := d.client.Do(req)
		d.check(err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotModified {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
		if o := d.ask("GET", path+"?issuer=urn:nobody", nil); o.status != http.StatusNotFound {
			t.Errorf("%s of nobody: %d", path, o.status)
		}
	}
}

func TestALeaseIsAcquiredRenewedAndReleased(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		body := members{"request_id": "r1", "nonce": nonce, "pool": "seats", "holder": user("ann"), "instance": "i1"}
		got := d.want(http.StatusCreated, "POST", "/v1/leases", body)
		lease, err := d.verifier.Lease(got.Lease, time.Now().Unix())
		d.check(err)
		if lease.Lease != got.ID || lease.Pool != "seats" || lease.Nonce != nonce || lease.Generation != got.Generation {
			t.Errorf("%+v", lease)
		}
		if again := d.want(http.StatusCreated, "POST", "/v1/leases", body); again.ID != got.ID {
			t.Error("the same request gave another lease")
		}
		body["pool"] = "line"
		if o := d.ask("POST", "/v1/leases", body); o.status != http.StatusUnprocessableEntity || !strings.Contains(string(o.body), "idempotency_mismatch") {
			t.Errorf("another request with the same id: %d %s", o.status, o.body)
		}
		renewed := d.want(http.StatusOK, "POST", "/v1/leases/"+got.ID+"/renew", members{"generation": got.Generation, "nonce": nonce, "instance": "i1"})
		if renewed.Generation <= got.Generation {
			t.Errorf("generation %d after %d", renewed.Generation, got.Generation)
		}
		freed := d.want(http.StatusOK, "DELETE", fmt.Sprintf("/v1/leases/%s?generation=%d", got.ID, renewed.Generation), nil)
		if freed.ID != got.ID {
			t.Errorf("%+v", freed)
		}
	})
}

func TestADenialIsSignedAndSaysWhoHolds(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	for _, who := range []string{"ann", "bob"} {
		d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who})
	}
	a := d.want(http.StatusConflict, "POST", "/v1/leases", members{"request_id": "cid", "nonce": nonce, "pool": "seats", "holder": user("cid"), "instance": "cid"})
	if a.Decision.Code != license.CodePoolFull || a.Decision.Held != 2 || a.Decision.Capacity != 2 || a.Decision.FreeAt == 0 {
		t.Errorf("%+v", a.Decision)
	}
	if r := d.reply(a.Reply); r.Decision.Code != license.CodePoolFull {
		t.Errorf("%+v", r.Decision)
	}
	if a := d.want(http.StatusOK, "POST", "/v1/check", members{"pool": "seats", "holder": user("cid"), "nonce": nonce}); a.Decision.Outcome != license.Denied {
		t.Errorf("check: %+v", a.Decision)
	}
}

func TestAFullPoolFallsBackOrQueuesAsThePlanSays(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	take := func(pool, who string) members {
		return members{"request_id": pool + who, "nonce": nonce, "pool": pool, "holder": user(who), "instance": who}
	}
	d.want(http.StatusCreated, "POST", "/v1/leases", take("spare", "ann"))
	if a := d.want(http.StatusOK, "POST", "/v1/leases", take("spare", "bob")); a.Decision.Code != license.CodeFallback || a.Lease != "" || d.reply(a.Reply).Decision.Outcome != license.Allowed {
		t.Errorf("%+v", a.Decision)
	}
	d.want(http.StatusCreated, "POST", "/v1/leases", take("line", "ann"))
	a := d.want(http.StatusAccepted, "POST", "/v1/leases", take("line", "bob"))
	if a.Decision.Code != license.CodeQueued || a.Ticket == "" {
		t.Fatalf("%+v", a)
	}
	if q := d.want(http.StatusOK, "GET", "/v1/tickets/"+a.Ticket, nil); q.ID != a.Ticket || q.Decision.Code != license.CodeQueued {
		t.Errorf("%+v", q)
	}
	d.want(http.StatusOK, "DELETE", "/v1/tickets/"+a.Ticket, nil)
}

func TestAHeldRequestIsServedWhenAUnitIsFreed(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	first := d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "a", "pool": "line", "holder": user("ann"), "instance": "a"})
	got := make(chan outcome, 1)
	go func() {
		o, err := d.send(t.Context(), "POST", "/v1/leases", members{"request_id": "b", "pool": "line", "holder": user("bob"), "instance": "b", "wait": 300})
		if err != nil {
			o.body = []byte(err.Error())
		}
		got <- o
	}()
	d.until(func() bool { return d.waiting("line") > 0 })
	d.want(http.StatusOK, "DELETE", fmt.Sprintf("/v1/leases/%s?generation=%d", first.ID, first.Generation), nil)
	// Nobody looks at the queue but the release: who is not served by it is told 202 in the end.
	if o := <-got; o.status != http.StatusCreated {
		t.Errorf("%d %s", o.status, o.body)
	}
}

// waiting returns how many requests wait for units of a pool, as reported to a newcomer
// that then leaves the queue.
func (d *deployment) waiting(pool string) int {
	d.t.Helper()
	d.probes++
	a := d.want(http.StatusAccepted, "POST", "/v1/leases", members{"request_id": fmt.Sprint("probe", d.probes), "pool": pool, "holder": user("probe"), "instance": "probe"})
	var q struct{ Ahead int }
	d.ask("GET", "/v1/tickets/"+a.Ticket, nil).decode(d.t, &q)
	d.want(http.StatusOK, "DELETE", "/v1/tickets/"+a.Ticket, nil)
	return q.Ahead
}

// until repeats a check until it is true, and fails after a minute.
func (d *deployment) until(yes func() bool) {
	d.t.Helper()
	for end := time.Now().Add(patience); !yes(); {
		if time.Now().After(end) {
			d.t.Fatal("it did not happen")
		}
	}
}

func TestEachOfABatchHasItsOwnOutcome(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	var acquire []members
	for i := range 4 {
		who := fmt.Sprint("u", i)
		acquire = append(acquire, members{"request_id": who, "pool": "seats", "holder": user(who), "instance": who, "nonce": nonce})
	}
	acquire[3]["holder"] = members{"kind": "user", "id": ""}
	var out struct {
		Acquire, Renew, Release []struct {
			Status  int
			Lease   *answered
			Problem *answered
		}
	}
	o := d.ask("POST", "/v1/leases/batch", members{"acquire": acquire, "release": []members{{"id": "lse_nothing", "generation": 1}}})
	o.decode(t, &out)
	var statuses []int
	for _, a := range out.Acquire {
		statuses = append(statuses, a.Status)
	}
	if !slices.Equal(statuses, []int{201, 201, 409, 422}) || len(out.Release) != 1 || out.Release[0].Status != 404 {
		t.Errorf("%d %s", o.status, o.body)
	}
	if p := out.Acquire[2].Problem; p == nil || d.reply(p.Reply).Decision.Code != license.CodePoolFull {
		t.Errorf("%s", o.body)
	}
}

func TestUsageCountsOnceAndSaysWhatBecameOfEachEvent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		var out struct {
			Results []struct{ ID, Status string }
			Reply   string
		}
		d.ask("POST", "/v1/usage", members{"nonce": nonce, "events": []members{
			{"id": "e1", "meter": "calls", "quantity": "1.25"},
			{"id": "e1", "meter": "calls", "quantity": "1.25"},
			{"id": "e2", "meter": "calls", "quantity": 100},
			{"id": "e3", "meter": "steam", "quantity": 1},
			{"id": "e4", "meter": "calls", "quantity": 1, "at": time.Now().Unix()},
			{"id": "e5", "meter": "calls", "quantity": 1, "at": time.Now().UTC().Format(time.RFC3339)},
		}}).decode(t, &out)
		var statuses []string
		for _, r := range out.Results {
			statuses = append(statuses, r.Status)
		}
		if want := []string{"recorded", "duplicate", "denied", "denied", "recorded", "recorded"}; !slices.Equal(statuses, want) {
			t.Errorf("%v, want %v", statuses, want)
		}
		if d.reply(out.Reply).Decision.Outcome != license.Denied {
			t.Error("a denial is not signed")
		}
		if o := d.ask("POST", "/v1/usage", members{"events": []members{{"id": "e9", "meter": "calls", "quantity": 1, "at": "soon"}}}); o.status != 422 {
			t.Errorf("%d %s", o.status, o.body)
		}
	})
}

func TestForceNeedsATokenThatMayFree(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	got := d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "a", "pool": "seats", "holder": user("ann"), "instance": "a"})
	path := "/v1/leases/" + got.ID + "?force=true"
	if o := d.ask("DELETE", path, nil); o.status != http.StatusForbidden {
		t.Errorf("a license key: %d %s", o.status, o.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), "DELETE", d.url+path, nil)
	d.check(err)
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Copyhold-Environment", "production")
	answer, err := d.client.Do(req)
	d.check(err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the owner's token: %d", answer.StatusCode)
	}
}

func TestAStreamTellsOfAChange(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		heard := d.listen(t.Context())
		if e := <-heard; e != "ping" {
			t.Fatalf("the stream begins with %s", e)
		}
		_, err := d.authority.RevokeLicense(t.Context(), d.owner, d.license, v1.RevokeRequest{Reason: "test"})
		d.check(err)
		got := map[string]bool{}
		for len(got) < 2 {
			got[next(t, heard)] = true
		}
		if !got["license"] || !got["revocations"] {
			t.Errorf("%v", got)
		}
	})
}

// TestAStreamTellsOfAnotherServersChange covers several servers on one database.
func TestAStreamTellsOfAnotherServersChange(t *testing.T) {
	url := storetest.PostgresURL(t)
	d := newDeployment(t, openPostgres(t, url), everyModel)
	background, stop := context.WithCancel(t.Context())
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer stop()
	tasks.Go(func() { d.authority.Run(background) })
	heard := d.listen(t.Context())
	<-heard
	config := d.config
	config.DB = openPostgres(t, url)
	other := authority.New(config)
	t.Cleanup(other.Close)
	d.check(other.Start(t.Context()))
	_, err := other.SuspendLicense(t.Context(), d.owner, d.license, "test")
	d.check(err)
	if e := next(t, heard); e != "license" {
		t.Errorf("%s", e)
	}
}

// openPostgres connects to a database as an additional server would.
func openPostgres(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestAStoppingServerEndsStreamsAndWaiters(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "a", "pool": "line", "holder": user("ann"), "instance": "a"})
	heard := d.listen(t.Context())
	<-heard
	waited := make(chan int, 1)
	go func() {
		o, err := d.send(t.Context(), "POST", "/v1/leases", members{"request_id": "b", "pool": "line", "holder": user("bob"), "instance": "b", "wait": 300})
		if err != nil {
			o.status = -1
		}
		waited <- o.status
	}()
	d.until(func() bool {
		select {
		case status := <-waited:
			t.Fatalf("the waiter was told %d at once", status)
		default:
		}
		return d.waiting("line") > 0
	})
	d.handler.Stop()
	if status := <-waited; status != http.StatusServiceUnavailable && status != http.StatusAccepted {
		t.Errorf("the waiter was told %d", status)
	}
	for range heard { // until it is closed
	}
	if o := d.ask("GET", "/readyz", nil); o.status != http.StatusServiceUnavailable || !strings.Contains(string(o.body), "stopping") {
		t.Errorf("%d %s", o.status, o.body)
	}
}

// TestADeletedKeyEndsWhatItHolds: streams and waiting acquires end immediately.
func TestADeletedKeyEndsWhatItHolds(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "a", "pool": "line", "holder": user("ann"), "instance": "a"})
	keys, err := d.authority.Keys(t.Context(), d.owner, d.license)
	d.check(err)
	other, err := d.authority.RotateKey(t.Context(), d.owner, d.license, v1.KeyRequest{Keep: true})
	d.check(err)
	heard := d.listen(t.Context())
	<-heard
	waited := make(chan outcome, 2)
	wait := func(request, key string) {
		o, err := d.send(t.Context(), "POST", "/v1/leases", members{"request_id": request, "pool": "line", "holder": user(request), "instance": "b", "wait": 300}, "License "+key)
		if err != nil {
			o.body = []byte(err.Error())
		}
		waited <- o
	}
	go wait("bob", d.key)
	d.until(func() bool { return d.waiting("line") > 0 })
	d.check(d.authority.DeleteKey(t.Context(), d.owner, d.license, keys[0].ID))
	begun := time.Now()
	if o := <-waited; o.status != http.StatusUnauthorized {
		t.Errorf("the waiter was told %d %s", o.status, o.body)
	}
	for range heard { // until it is closed
	}
	if took := time.Since(begun); took > 2*time.Minute { // a waiter would wait for five, and a stream last half an hour
		t.Errorf("ended %v after the key", took)
	}
	d.key = other.Text
	go wait("cleo", d.key)
	d.until(func() bool { return d.waiting("line") > 0 })
	_, err = d.authority.SuspendLicense(t.Context(), d.owner, d.license, "")
	d.check(err)
	if o := <-waited; o.status != http.StatusConflict || !strings.Contains(string(o.body), license.CodeSuspended) {
		t.Errorf("the waiter of a license that was suspended was told %d %s", o.status, o.body)
	}
}

// TestAFullQueueSaysWhenToComeBack: a denial with its own code.
func TestAFullQueueSaysWhenToComeBack(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), strings.Replace(everyModel, "full: queue", "full: queue, queue: {max: 2}", 1))
	for n, want := range []int{http.StatusCreated, http.StatusAccepted, http.StatusAccepted, http.StatusConflict} {
		o := d.ask("POST", "/v1/leases", members{"request_id": fmt.Sprint(n), "nonce": nonce, "pool": "line", "holder": user(fmt.Sprint(n)), "instance": "a"})
		if o.status != want {
			t.Fatalf("%d: %d %s", n, o.status, o.body)
		}
		if want != http.StatusConflict {
			continue
		}
		var a answered
		o.decode(t, &a)
		if r := d.reply(a.Reply); r.Decision.Code != license.CodeQueueFull || o.header.Get("Retry-After") == "" {
			t.Errorf("%+v, after %q", r.Decision, o.header.Get("Retry-After"))
		}
	}
}

func TestProgramsOfANewerVersionAreServed(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe", "something_new": members{"a": 1}})
}

// TestAFeaturesKeyTravelsWrappedForTheDevice: sealed data opens only for programs
// that have the feature.
func TestAFeaturesKeyTravelsWrappedForTheDevice(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	public, err := d.authority.FeatureKey(t.Context(), d.owner, "lathe", "export")
	d.check(err)
	sealed, err := license.SealFeature(public, "lathe", "export", []byte("data"))
	d.check(err)
	device, private, err := license.GenerateX25519()
	d.check(err)
	doc := d.document(d.want(http.StatusOK, "POST", "/v1/validate",
		members{"product": "lathe", "device_key": base64.RawURLEncoding.EncodeToString(device)}).License)
	key, err := doc.FeatureKey("export", private)
	d.check(err)
	if plain, err := license.OpenFeature(key, "lathe", "export", sealed); err != nil || string(plain) != "data" {
		t.Errorf("%q, %v", plain, err)
	}
	if common := d.document(d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe"}).License); len(common.Keys) != 0 {
		t.Error("a document for everybody carries keys")
	}
	if o := d.ask("POST", "/v1/validate", members{"product": "lathe", "device_key": "AAAA"}); o.status != http.StatusUnprocessableEntity {
		t.Errorf("a device key that is none: %d", o.status)
	}
}

func TestABoundLicenseNamesTheMachineThatHoldsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, everyModel)
		machine := func(id string, parts ...string) members {
			components := members{}
			for i, part := range parts {
				components[fmt.Sprint("part", i)] = license.DocumentHash(part)
			}
			return members{"kind": "machine", "id": id, "components": components}
		}
		validate := func(holder members) (answered, *license.License) {
			a := d.want(http.StatusOK, "POST", "/v1/validate", members{"product": "lathe", "holder": holder})
			return a, d.document(a.License)
		}
		own := machine("m1", "a", "b", "c")
		if _, doc := validate(own); doc.Binding != nil {
			t.Errorf("bound before anything is held: %+v", doc.Binding)
		}
		d.want(http.StatusCreated, "POST", "/v1/leases", members{"request_id": "r", "pool": "machines", "holder": own, "instance": "i"})
		d.until(func() bool { _, doc := validate(own); return doc.Binding != nil })
		if _, doc := validate(own); doc.Binding.Holder != "m1" || doc.Binding.Need != 2 || len(doc.Binding.Components) != 3 {
			t.Errorf("%+v", doc.Binding)
		}
		if a, doc := validate(machine("renamed", "a", "b", "x")); a.Decision.Code != license.CodeOK || doc.Binding == nil || doc.Binding.Holder != "m1" {
			t.Errorf("one part was replaced: %+v, %+v", a.Decision, doc.Binding)
		}
		if a, _ := validate(machine("m1", "x", "y", "c")); a.Decision.Code != license.CodeBindingMismatch || a.Decision.Outcome != license.Allowed || a.Decision.NextAt == 0 {
			t.Errorf("another machine under the same name is denied at once, or not noticed: %+v", a.Decision)
		}
	})
}

func TestTheFirstUseStartsTheTerm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		d := newDeployment(t, db, strings.Replace(everyModel, "grace: 3d}", "grace: 3d, start: first-use}", 1))
		var starts sync.Map
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				o, err := d.send(t.Context(), "POST", "/v1/validate", members{"product": "lathe"})
				var a answered
				if err == nil && o.status == http.StatusOK {
					o.decode(t, &a)
					doc, err := d.verifier.License(a.License, time.Now().Unix())
					if err == nil {
						starts.Store(doc.Term.Start, doc.Term.End)
						return
					}
				}
				t.Errorf("%v %d %s", err, o.status, o.body)
			})
		}
		all.Wait()
		n := 0
		for start, end := range starts.Range {
			if n++; start.(int64) == 0 || end.(int64) <= start.(int64) {
				t.Errorf("from %v until %v", start, end)
			}
		}
		if n != 1 {
			t.Errorf("%d starts", n)
		}
	})
}

// Some languages have one kind of number and write 1.0 for 1. The answer to a fraction explains
// how to write it, for programs and administrators.
func TestAWholeNumberWithAPointIsTakenAndAFractionIsExplained(t *testing.T) {
	d := newDeployment(t, storetest.SQLite(t), everyModel)
	var out struct{ Results []struct{ Status string } }
	d.ask("POST", "/v1/usage", members{"events": []members{
		{"id": "e1", "meter": "calls", "quantity": json.RawMessage("2.0")}, {"id": "e1", "meter": "calls", "quantity": 2}, {"id": "e2", "meter": "calls", "quantity": "1.25"},
	}}).decode(t, &out)
	if len(out.Results) != 3 || out.Results[0].Status != "recorded" || out.Results[1].Status != "duplicate" || out.Results[2].Status != "recorded" {
		t.Errorf("%+v", out)
	}
	for _, fraction := range []string{"1.25", "1e2", "0.1"} {
		o := d.ask("POST", "/v1/usage", members{"events": []members{{"id": "e3", "meter": "calls", "quantity": json.RawMessage(fraction)}}})
		if o.status != http.StatusBadRequest || !strings.Contains(string(o.body), "write decimals as strings") {
			t.Errorf("%s: %d %s", fraction, o.status, o.body)
		}
	}
	owner := d.bearer(d.owner, v1.TokenRequest{Role: access.Owner})
	l, err := d.authority.License(t.Context(), d.owner, d.license)
	d.check(err)
	grant := members{"plan": l.Plan, "customer": l.Customer, "capacity": members{"line": json.RawMessage("7.0")}}
	d.as(owner, http.StatusCreated, "POST", "/v1/licenses", grant, nil)
	grant["capacity"] = members{"line": json.RawMessage("7.5")}
	if o := d.ask("POST", "/v1/licenses", grant, owner); o.status < 400 || o.status >= 500 || !strings.Contains(string(o.body), "write decimals as strings") {
		t.Errorf("%d %s", o.status, o.body)
	}
}
