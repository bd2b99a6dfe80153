package copyhold

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// vendor is a small license server with real keys and real signatures.
type vendor struct {
	t      testing.TB
	now    func() time.Time
	issuer string
	root   ed25519.PrivateKey
	key    ed25519.PrivateKey
	roots  []string
	keys   []string

	mu       sync.Mutex
	owners   map[string]string // license by key; nil means that every key belongs to lic_1
	listed   []string          // keys that documents list
	subject  string            // license of the current request
	product  string
	counter  int64
	dates    span
	doc      license.License // content of documents, apart from dates and claims
	denial   *license.Decision
	denials  map[string]license.Decision // by license
	leases   map[string]*held
	lost     map[string]*held  // leases from before a restore
	signed   map[string]string // last document of each lease
	requests map[string]string
	capacity int64
	full     string // what a full pool does: "" denies
	usage    map[string]Usage
	refused  map[string]usageResult // events that are not counted
	charged  map[string]string      // license that each event was counted on
	forged   bool                   // an attacker writes the quota's decision into the unsigned part
	batches  int
	quota    *license.Decision
	revoked  []license.Revocation
	calls    map[string]int
	streams  []chan string
	wrap     func(http.Handler) http.Handler // what is between clients and the server
}

type held struct {
	id, pool, instance, nonce, license string
	units, generation                  int64
	holder                             Holder
	recall                             time.Duration // grace of a recall; 0 means none
	until                              int64
}

// span contains a document's dates, in seconds after its issue.
type span struct{ refresh, stale, due, exp, degraded int64 }

const day = 24 * 60 * 60

// Well-formed keys.
const (
	testKey    = "CH-04000-01000-00000-00000-00000-00000-04KEJ"
	otherKey   = "CH-08000-02000-00000-00000-00000-00000-0K2W2"
	unknownKey = "CH-0C000-03000-00000-00000-00000-00000-0M4S8"
)

func newVendor(t testing.TB, now func() time.Time) *vendor {
	v := &vendor{
		subject: "lic_1", product: "lathe", charged: map[string]string{},
		t: t, now: now, issuer: "urn:copyhold:test:production",
		dates: span{day, 2 * day, 7 * day, 21 * day, 51 * day},
		doc: license.License{
			Customer: "cus_acme", Plan: "studio", Revision: "r1", Status: license.Active,
			Features: map[string]license.Feature{
				"export": {Value: license.BoolValue(true)},
				"layers": {Value: license.IntValue(50)},
				"theme":  {Value: license.TextValue("dark")},
				"off":    {Value: license.BoolValue(false)},
			},
			Fallback: map[string]license.Feature{"layers": {Value: license.IntValue(5)}},
			Pools:    map[string]license.Pool{"seats": {Capacity: 2, Holder: KindMachine}},
			Meters:   map[string]license.Meter{"calls": {Unit: "call", Scale: 2, Quota: 100_000, Per: "month"}},
		},
		leases: map[string]*held{}, signed: map[string]string{}, requests: map[string]string{}, capacity: 2, usage: map[string]Usage{}, calls: map[string]int{},
	}
	_, v.root, _ = ed25519.GenerateKey(nil)
	_, v.key, _ = ed25519.GenerateKey(nil)
	v.roots = []string{v.rootSet()}
	v.keys = []string{v.keySet(1, v.key)}
	return v
}

func (v *vendor) claims(life int64) license.Claims {
	v.counter++
	now := v.now().Unix()
	return license.Claims{
		Issuer: v.issuer, Audience: []string{v.product}, Subject: v.subject, IssuedAt: now, NotBefore: now, Expires: now + life,
		ID: fmt.Sprintf("doc_%d", v.counter), Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: v.counter},
	}
}

func (v *vendor) rootSet() string {
	pub := v.root.Public().(ed25519.PublicKey)
	now := v.now().Unix()
	key := license.NewKey(pub, []license.Type{license.TypeRootSet, license.TypeKeySet}, now-day, now+3650*day, now+7300*day)
	c := v.claims(3650 * day)
	c.Audience, c.Subject = nil, ""
	return v.sign(license.TypeRootSet, license.RootSet{Claims: c, Number: 1, K: 1, Keys: []license.Key{key}}, v.root)
}

func (v *vendor) keySet(number int64, keys ...ed25519.PrivateKey) string {
	now := v.now().Unix()
	c := v.claims(730 * day)
	c.Audience, c.Subject = nil, ""
	set := license.KeySet{Claims: c, Number: number}
	kinds := []license.Type{license.TypeLicense, license.TypeLease, license.TypeReply, license.TypeRevocations}
	for _, k := range keys {
		set.Keys = append(set.Keys, license.NewKey(k.Public().(ed25519.PublicKey), kinds, now-day, now+365*day, now+730*day))
	}
	return v.sign(license.TypeKeySet, set, v.root)
}

func (v *vendor) sign(t license.Type, claims any, key ed25519.PrivateKey) string {
	v.t.Helper()
	text, err := license.Sign(t, claims, license.Thumbprint(key.Public().(ed25519.PublicKey)), func(b []byte) []byte { return ed25519.Sign(key, b) })
	if err != nil {
		v.t.Errorf("signing: %v", err)
	}
	return text
}

func (v *vendor) license() string {
	doc := v.doc
	d := v.dates
	doc.Claims = v.claims(d.exp)
	if v.doc.Subject != "" {
		doc.Subject = v.doc.Subject
	}
	at := doc.IssuedAt
	for _, key := range v.listed {
		doc.LicenseKeys = append(doc.LicenseKeys, license.KeyDigest(v.issuer, doc.Subject, license.KeyHash(key)))
	}
	doc.Dates = license.Dates{Refresh: [2]int64{at + d.refresh, at + d.refresh}, Stale: at + d.stale, Due: at + d.due, Degraded: at + d.degraded}
	return v.sign(license.TypeLicense, doc, v.key)
}

// bundle returns an exported license.
func (v *vendor) bundle() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, err := license.EncodeBundle(license.Bundle{Doc: v.license(), KeySet: v.keys})
	if err != nil {
		v.t.Error(err)
	}
	return b
}

func (v *vendor) reply(nonce, document string, d license.Decision) string {
	r := license.Reply{Claims: v.claims(300), Nonce: nonce, Decision: d, Time: v.now().Unix()}
	if document != "" {
		r.Document = license.DocumentHash(document)
	}
	return v.sign(license.TypeReply, r, v.key)
}

func (v *vendor) options() Options {
	list, _ := json.Marshal(v.roots)
	return Options{Endpoints: []string{"http://one.test"}, Key: testKey, Product: "lathe", RootSet: list, CacheDir: v.t.TempDir()}
}

func (v *vendor) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.calls[pattern]++
			if v.authenticate(w, r) {
				f(w, r)
			}
		})
	}
	handle("GET /v1/keyset", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, map[string]any{"keyset": v.keys}) })
	handle("GET /v1/rootset", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, map[string]any{"rootset": v.roots}) })
	handle("GET /v1/revocations", v.serveRevocations)
	handle("POST /v1/validate", v.serveValidate)
	handle("POST /v1/leases", v.serveAcquire)
	handle("POST /v1/leases/{id}/renew", v.serveRenew)
	handle("DELETE /v1/leases/{id}", v.serveRelease)
	handle("DELETE /v1/tickets/{id}", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, map[string]any{}) })
	handle("POST /v1/usage", v.serveUsage)
	mux.HandleFunc("GET /v1/license/stream", v.serveStream)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		wrap := v.wrap
		v.mu.Unlock()
		if wrap != nil {
			wrap(mux).ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// between inserts a handler between clients and the server, or removes it.
func (v *vendor) between(wrap func(http.Handler) http.Handler) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrap = wrap
}

func (v *vendor) set(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

func (v *vendor) count(pattern string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[pattern]
}

// authenticate finds the license of the key that a request carries.
func (v *vendor) authenticate(w http.ResponseWriter, r *http.Request) bool {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	v.subject = "lic_1"
	if v.doc.Subject != "" {
		v.subject = v.doc.Subject
	}
	if v.owners == nil || r.Method == http.MethodGet {
		return true
	}
	subject, known := v.owners[key]
	if !known {
		write(w, 401, map[string]any{"title": "Unauthorized", "code": "unauthenticated", "detail": "this license key is not known"})
		return false
	}
	v.subject = subject
	return true
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func read(r *http.Request, v any) { _ = json.NewDecoder(r.Body).Decode(v) }

func (v *vendor) serveValidate(w http.ResponseWriter, r *http.Request) {
	var in validateRequest
	read(r, &in)
	denial := v.denial
	if d, denied := v.denials[v.subject]; denied {
		denial = &d
	}
	if denial != nil {
		write(w, 403, map[string]any{"decision": denial, "reply": v.reply(in.Nonce, "", *denial)})
		return
	}
	d := license.Decision{Outcome: license.Allowed, Code: license.CodeOK}
	doc := v.license()
	body := map[string]any{"decision": d, "license": doc, "reply": v.reply(in.Nonce, doc, d), "keyset": 1}
	if len(v.revoked) > 0 {
		body["revocations"] = v.counter
	}
	write(w, 200, body)
}

func (v *vendor) serveRevocations(w http.ResponseWriter, _ *http.Request) {
	c := v.claims(60 * day)
	c.Subject = ""
	write(w, 200, map[string]any{"revocations": v.sign(license.TypeRevocations, license.Revocations{Claims: c, Revoked: v.revoked}, v.key)})
}

func (v *vendor) lease(h *held, nonce string) string {
	now := v.now().Unix()
	l := license.Lease{
		Claims: v.claims(75 * 60), Lease: h.id, Pool: h.pool, Units: h.units, Holder: h.holder.ID, Instance: h.instance,
		Generation: h.generation, Nonce: nonce,
		Dates: license.Dates{Refresh: [2]int64{now + 300, now + 300}, Stale: now + 600, Due: now + 900, Degraded: now + 75*60},
	}
	if h.recall > 0 {
		if h.until == 0 {
			h.until = now + int64(h.recall/time.Second)
		}
		l.Recall = &license.Recall{Until: h.until, Reason: "needed"}
		for _, at := range []*int64{&l.Refresh[0], &l.Refresh[1], &l.Stale, &l.Due, &l.Expires} {
			*at = min(*at, h.until)
		}
	}
	v.signed[h.id] = v.sign(license.TypeLease, l, v.key)
	return v.signed[h.id]
}

func (v *vendor) serveAcquire(w http.ResponseWriter, r *http.Request) {
	var in acquireRequest
	read(r, &in)
	used := int64(0)
	for _, h := range v.leases {
		if h.pool == in.Pool && (h.license == "" || h.license == v.subject) {
			used += h.units
		}
	}
	if in.Pool == "machines" { // no end: one lease for each holder
		in.Instance = ""
	}
	id, again := v.requests[in.RequestID]
	for _, h := range v.leases {
		if !again && h.pool == in.Pool && (h.license == "" || h.license == v.subject) && h.holder.ID == in.Holder.ID && h.instance == in.Instance {
			id, again = h.id, true
			h.generation++
		}
	}
	if !again && used+in.Units > v.capacity {
		v.serveFull(w, in)
		return
	}
	if !again {
		id = fmt.Sprintf("lea_%d", len(v.requests)+1)
		v.requests[in.RequestID] = id
		v.leases[id] = &held{id: id, pool: in.Pool, instance: in.Instance, license: v.subject, units: in.Units, generation: 1, holder: in.Holder}
	}
	write(w, 201, map[string]any{"id": id, "lease": v.lease(v.leases[id], in.Nonce)})
}

func (v *vendor) serveFull(w http.ResponseWriter, in acquireRequest) {
	switch {
	case in.Wait > 0 || v.full == "queue":
		d := license.Decision{Outcome: license.Denied, Code: license.CodeQueued, Reason: "one waits"}
		write(w, 202, map[string]any{"decision": d, "ticket": "tic_1", "reply": v.reply(in.Nonce, "", d)})
	case v.full == "fallback":
		d := license.Decision{Outcome: license.Allowed, Code: license.CodeFallback, Reason: "the pool is full"}
		write(w, 200, map[string]any{"decision": d, "reply": v.reply(in.Nonce, "", d)})
	default:
		d := license.Decision{Outcome: license.Denied, Code: license.CodePoolFull, Reason: "all seats are taken", FreeAt: v.now().Unix() + 60}
		write(w, 409, map[string]any{"decision": d, "reply": v.reply(in.Nonce, "", d), "code": "conflict"})
	}
}

func (v *vendor) serveRenew(w http.ResponseWriter, r *http.Request) {
	var in renewRequest
	read(r, &in)
	h := v.back(r.PathValue("id"), in.Lease)
	if h == nil {
		write(w, 404, map[string]any{"title": "Not Found", "code": "not_found"})
		return
	}
	if h.nonce == in.Nonce && h.generation == in.Generation+1 { // the answer was lost
		write(w, 200, map[string]any{"lease": v.lease(h, in.Nonce)})
		return
	}
	if h.generation != in.Generation {
		d := license.Decision{Outcome: license.Denied, Code: license.CodeClone, Reason: "another copy renewed this lease"}
		write(w, 409, map[string]any{"decision": d, "reply": v.reply(in.Nonce, "", d)})
		return
	}
	h.generation++
	h.nonce = in.Nonce
	write(w, 200, map[string]any{"lease": v.lease(h, in.Nonce)})
}

// back returns a lease. It restores a lease that a restore has lost if shown is its document.
func (v *vendor) back(id, shown string) *held {
	if h := v.leases[id]; h != nil && h.license != "" && h.license != v.subject {
		return nil
	}
	if v.leases[id] == nil && v.lost[id] != nil && shown == v.signed[id] {
		v.leases[id] = v.lost[id]
	}
	return v.leases[id]
}

// forget loses every lease, as a restore does, and frees the units.
func (v *vendor) forget() {
	v.lost, v.leases, v.capacity = v.leases, map[string]*held{}, 0
	clear(v.requests)
}

func (v *vendor) serveRelease(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	generation, _ := strconv.ParseInt(r.URL.Query().Get("generation"), 10, 64)
	h := v.back(id, r.URL.Query().Get("lease"))
	if h == nil && (v.lost != nil || v.leases[id] != nil) {
		write(w, 404, map[string]any{"title": "Not Found", "code": "not_found"})
		return
	}
	if h != nil && h.generation != generation && (h.generation != generation+1 || h.nonce != r.URL.Query().Get("nonce")) {
		write(w, 409, map[string]any{"title": "Conflict", "code": "conflict"})
		return
	}
	delete(v.leases, id)
	delete(v.lost, id)
	write(w, 200, map[string]any{"id": id, "free_at": v.now().Unix()})
}

func (v *vendor) serveUsage(w http.ResponseWriter, r *http.Request) {
	var in usageRequest
	read(r, &in)
	v.batches++
	results := []map[string]any{}
	var denied *license.Decision
	for _, u := range in.Events {
		if r, refused := v.refused[u.ID]; refused {
			one := map[string]any{"id": u.ID, "status": r.Status, "reason": r.Reason}
			if r.Decision.Outcome != "" {
				one["decision"], denied = r.Decision, &r.Decision
			}
			results = append(results, one)
			continue
		}
		status := "recorded"
		if _, there := v.usage[u.ID]; there {
			status = "duplicate"
		}
		v.usage[u.ID], v.charged[u.ID] = u, v.subject
		one := map[string]any{"id": u.ID, "status": status}
		if v.quota != nil {
			one["decision"] = v.quota
		}
		results = append(results, one)
	}
	said := license.Decision{Outcome: license.Allowed, Code: license.CodeOK}
	if v.quota != nil && !v.forged {
		said = *v.quota
	}
	if denied != nil {
		said = *denied
	}
	write(w, 200, map[string]any{"results": results, "reply": v.reply(in.Nonce, "", said)})
}

func (v *vendor) serveStream(w http.ResponseWriter, r *http.Request) {
	events := make(chan string, 8)
	v.set(func() { v.calls["stream"]++; v.streams = append(v.streams, events) })
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-events:
			name, data, _ := strings.Cut(e, " ")
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, cmp.Or(data, "{}"))
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// announce notifies every stream of a change.
func (v *vendor) announce(event string) {
	v.set(func() {
		for _, s := range v.streams {
			select {
			case s <- event:
			default:
			}
		}
	})
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}
