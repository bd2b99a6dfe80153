package copyholdtest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// The dates of documents, in seconds after their issue.
const (
	day          = 24 * 60 * 60
	year         = 365 * day
	refreshAfter = day
	staleAfter   = 2 * day
	dueAfter     = 7 * day
	endAfter     = 21 * day
	nothingAfter = 51 * day

	leaseRefresh = 5 * 60
	leaseStale   = 10 * 60
	leaseDue     = 15 * 60
	leaseEnd     = 75 * 60
)

const (
	issuer  = "urn:copyhold:copyholdtest"
	subject = "lic_test"
)

// A server signs what the license grants, counts units and usage, and answers in memory.
type server struct {
	product, key string
	rootSet      []byte
	now          func() time.Time
	signer       ed25519.PrivateKey
	keySet       []string
	handler      http.Handler

	mu         sync.Mutex
	changed    chan struct{} // closed and replaced after each change
	documents  int64
	features   map[string]license.Feature
	fallback   map[string]license.Feature
	pools      map[string]int64
	occupied   map[string]int64
	fullPool   string
	meters     map[string]int64
	status     string
	begins     int64 // start of the term; 0 means that it has started
	offline    bool
	leases     map[string]*lease
	requests   map[string]string // lease by request id
	usage      []copyhold.Usage
	usageKnown map[string]bool
}

// A lease is a number of units that a client holds.
type lease struct {
	id, pool, instance, nonce string
	units, generation         int64
	holder                    copyhold.Holder
	recall                    *license.Recall
}

func newServer(p Plan, now func() time.Time) (*server, error) {
	s := &server{
		product: cmp.Or(p.Product, "product"), now: now, fullPool: p.FullPool, status: license.Active, changed: make(chan struct{}),
		features: map[string]license.Feature{}, fallback: map[string]license.Feature{}, pools: map[string]int64{}, occupied: map[string]int64{},
		meters: map[string]int64{}, leases: map[string]*lease{}, requests: map[string]string{}, usageKnown: map[string]bool{},
	}
	if p.FullPool != "" && p.FullPool != "deny" && p.FullPool != "fallback" {
		return nil, fmt.Errorf("FullPool is %q; it must be deny or fallback", p.FullPool)
	}
	for _, set := range []struct {
		from map[string]any
		to   map[string]license.Feature
	}{{p.Features, s.features}, {p.Fallback, s.fallback}} {
		for name, value := range set.from {
			if err := setFeature(set.to, name, value); err != nil {
				return nil, err
			}
		}
	}
	for name, units := range p.Pools {
		s.pools[name] = max(units, 0)
	}
	for name, quota := range p.Meters {
		s.meters[name] = max(quota, 0)
	}
	if err := s.makeKeys(); err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

func setFeature(set map[string]license.Feature, name string, value any) error {
	switch v := value.(type) {
	case nil:
		delete(set, name)
	case bool:
		set[name] = license.Feature{Value: license.BoolValue(v)}
	case int:
		set[name] = license.Feature{Value: license.IntValue(int64(v))}
	case int64:
		set[name] = license.Feature{Value: license.IntValue(v)}
	case string:
		set[name] = license.Feature{Value: license.TextValue(v)}
	default:
		return fmt.Errorf("the feature %s is a %T; it must be a bool, an int, an int64, or a string", name, value)
	}
	return nil
}

// makeKeys makes a root key and a signing key that only the clients of this license trust.
func (s *server) makeKeys() error {
	rootPub, root, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	s.signer = key
	now := s.now().Unix()
	dated := func(pub ed25519.PublicKey, kinds ...license.Type) license.Key {
		return license.NewKey(pub, kinds, now-day, now+50*year, now+100*year)
	}
	claims := s.claims(50 * year)
	claims.Audience, claims.Subject = nil, ""
	roots, err := sign(root, license.TypeRootSet, license.RootSet{
		Claims: claims, Number: 1, K: 1, Keys: []license.Key{dated(rootPub, license.TypeRootSet, license.TypeKeySet)},
	})
	if err != nil {
		return err
	}
	keys, err := sign(root, license.TypeKeySet, license.KeySet{
		Claims: claims, Number: 1, Keys: []license.Key{dated(pub, license.TypeLicense, license.TypeLease, license.TypeReply)},
	})
	if err != nil {
		return err
	}
	s.keySet = []string{keys}
	if s.rootSet, err = json.Marshal([]string{roots}); err != nil {
		return err
	}
	var id [4]byte
	var secret [16]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	_, s.key = license.MakeKey(id, secret)
	return nil
}

func sign(key ed25519.PrivateKey, t license.Type, claims any) (string, error) {
	return license.Sign(t, claims, license.Thumbprint(key.Public().(ed25519.PublicKey)), func(b []byte) []byte { return ed25519.Sign(key, b) })
}

func (s *server) claims(life int64) license.Claims {
	s.documents++
	now := s.now().Unix()
	return license.Claims{
		Issuer: issuer, Audience: []string{s.product}, Subject: subject, IssuedAt: now, NotBefore: now, Expires: now + life,
		ID: fmt.Sprintf("doc_%d", s.documents), Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: s.documents},
	}
}

// change applies f and wakes waiting requests.
func (s *server) change(f func(s *server) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wakeLocked()
	return f(s)
}

func (s *server) wake() { _ = s.change(func(*server) error { return nil }) }

func (s *server) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) held(pool string) (units int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.leases {
		if l.pool == pool {
			units += l.units
		}
	}
	return units
}

func (s *server) counted(meter string) []copyhold.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.usage), func(u copyhold.Usage) bool { return u.Meter != meter })
}

func (s *server) recall(pool, reason string, grace time.Duration) {
	for _, l := range s.leases {
		if l.pool == pool {
			l.recall = &license.Recall{Until: s.now().Add(grace).Unix(), Reason: reason}
		}
	}
}

// answer is the round trip of one request.
func (s *server) answer(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	offline := s.offline
	s.mu.Unlock()
	rec := httptest.NewRecorder()
	switch _, key, _ := strings.Cut(r.Header.Get("Authorization"), " "); {
	case offline:
		problem(rec, http.StatusNotFound, "offline", "the test has disconnected the license server")
	case r.Method != http.MethodGet && key != s.key:
		problem(rec, http.StatusUnauthorized, "unauthenticated", "this license key is not known")
	default:
		s.handler.ServeHTTP(rec, r)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/keyset", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, map[string]any{"keyset": s.keySet}) })
	mux.HandleFunc("POST /v1/validate", s.validate)
	mux.HandleFunc("POST /v1/leases", s.acquire)
	mux.HandleFunc("POST /v1/leases/{id}/renew", s.renew)
	mux.HandleFunc("DELETE /v1/leases/{id}", s.release)
	mux.HandleFunc("DELETE /v1/tickets/{id}", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, struct{}{}) })
	mux.HandleFunc("POST /v1/usage", s.count)
	return mux
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // writing to a recorder does not fail
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	write(w, status, map[string]any{"title": http.StatusText(status), "code": code, "detail": detail})
}

// read decodes a request and reports whether that succeeded.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		problem(w, http.StatusBadRequest, "invalid", err.Error())
		return false
	}
	return true
}

// reply signs a decision, with the hash of the document that belongs to it.
func (s *server) reply(nonce, document string, d license.Decision) string {
	r := license.Reply{Claims: s.claims(300), Nonce: nonce, Decision: d, Time: s.now().Unix()}
	if document != "" {
		r.Document = license.DocumentHash(document)
	}
	return s.sign(license.TypeReply, r)
}

func (s *server) sign(t license.Type, claims any) string {
	text, err := sign(s.signer, t, claims)
	if err != nil {
		return "" // the client then reports that the answer is not signed
	}
	return text
}

func (s *server) validate(w http.ResponseWriter, r *http.Request) {
	var in struct{ Nonce string }
	if !read(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := s.sign(license.TypeLicense, s.document())
	d := license.Decision{Outcome: license.Allowed, Code: license.CodeOK}
	if s.status == license.Suspended {
		d = license.Decision{Outcome: license.Denied, Code: license.CodeSuspended, Reason: license.Reason(license.CodeSuspended), State: license.StateDenied}
	}
	write(w, 200, map[string]any{"decision": d, "license": doc, "reply": s.reply(in.Nonce, doc, d), "keyset": 1})
}

func (s *server) document() license.License {
	c := s.claims(endAfter)
	at := c.IssuedAt
	doc := license.License{
		Claims: c, Customer: "cus_test", Plan: "test", Revision: "1", Status: s.status, Features: s.features, Fallback: s.fallback,
		Dates:       license.Dates{Refresh: [2]int64{at + refreshAfter, at + refreshAfter}, Stale: at + staleAfter, Due: at + dueAfter, Degraded: at + nothingAfter},
		Pools:       map[string]license.Pool{},
		Meters:      map[string]license.Meter{},
		LicenseKeys: []string{license.KeyDigest(issuer, subject, license.KeyHash(s.key))},
		Term:        license.Term{Start: s.begins},
	}
	for name, units := range s.pools {
		doc.Pools[name] = license.Pool{Capacity: units, Holder: copyhold.KindMachine, Full: cmp.Or(s.fullPool, "deny")}
	}
	for name, quota := range s.meters {
		doc.Meters[name] = license.Meter{Unit: "unit", Quota: quota, Hard: quota, Per: "month", Full: "deny"}
	}
	return doc
}

type acquiring struct {
	RequestID string          `json:"request_id"`
	Nonce     string          `json:"nonce"`
	Pool      string          `json:"pool"`
	Units     int64           `json:"units"`
	Holder    copyhold.Holder `json:"holder"`
	Instance  string          `json:"instance"`
	Wait      int64           `json:"wait"`
}

// acquire grants units, or waits for them until the time limit of the request.
func (s *server) acquire(w http.ResponseWriter, r *http.Request) {
	var in acquiring
	if !read(w, r, &in) {
		return
	}
	deadline := s.now().Add(time.Duration(in.Wait) * time.Second)
	for {
		s.mu.Lock()
		granted, d, changed := s.grant(in), s.refusal(in), s.changed
		expired := !s.now().Before(deadline)
		if granted != nil || expired || d.Code != license.CodePoolFull {
			s.answerAcquire(w, in, granted, d)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (s *server) answerAcquire(w http.ResponseWriter, in acquiring, granted *lease, d license.Decision) {
	switch {
	case granted != nil:
		write(w, 201, map[string]any{"id": granted.id, "lease": s.signLease(granted, in.Nonce)})
	case in.Wait > 0 && d.Code == license.CodePoolFull:
		d.Code = license.CodeQueued
		write(w, 202, map[string]any{"decision": d, "ticket": "tic_" + in.RequestID, "reply": s.reply(in.Nonce, "", d)})
	default:
		write(w, 200, map[string]any{"decision": d, "reply": s.reply(in.Nonce, "", d)})
	}
}

// grant returns the lease for the request, or nil if there are not enough units.
func (s *server) grant(in acquiring) *lease {
	if id, again := s.requests[in.RequestID]; again {
		return s.leases[id]
	}
	units, known := s.pools[in.Pool]
	free := units - s.occupied[in.Pool]
	for _, l := range s.leases {
		if l.pool != in.Pool {
			continue
		}
		if l.holder.ID == in.Holder.ID && l.instance == in.Instance && l.units == in.Units {
			l.generation++
			return l
		}
		free -= l.units
	}
	if !known || in.Units > free || s.status != license.Active {
		return nil
	}
	l := &lease{
		id: "lea_" + strconv.Itoa(len(s.requests)+1), pool: in.Pool, instance: in.Instance, units: in.Units, generation: 1, holder: in.Holder,
	}
	s.requests[in.RequestID], s.leases[l.id] = l.id, l
	return l
}

// refusal returns the decision for a request that is not granted.
func (s *server) refusal(in acquiring) license.Decision {
	units, known := s.pools[in.Pool]
	d := license.Decision{Outcome: license.Denied, Rule: "pool.capacity", Capacity: units}
	switch {
	case s.status != license.Active:
		d.Code, d.Reason = license.CodeSuspended, license.Reason(license.CodeSuspended)
	case !known:
		d.Code, d.Reason = license.CodeNoSuchPool, "the license has no pool "+in.Pool
	case s.fullPool == "fallback" && in.Wait == 0:
		d.Outcome, d.Code, d.Reason = license.Allowed, license.CodeFallback, "the pool "+in.Pool+" is full; the fallback applies"
	case in.Units > units:
		d.Code, d.Reason = license.CodeTooManyUnits, fmt.Sprintf("the pool %s has %d units; %d requested", in.Pool, units, in.Units)
	default:
		d.Code, d.Reason = license.CodePoolFull, fmt.Sprintf("all %d units of the pool %s are in use", units, in.Pool)
		d.FreeAt = s.now().Unix() + leaseEnd
	}
	return d
}

func (s *server) signLease(l *lease, nonce string) string {
	c := s.claims(leaseEnd)
	at := c.IssuedAt
	doc := license.Lease{
		Claims: c, Lease: l.id, Pool: l.pool, Units: l.units, Holder: l.holder.ID, Instance: l.instance, Generation: l.generation, Nonce: nonce,
		Dates:  license.Dates{Refresh: [2]int64{at + leaseRefresh, at + leaseRefresh}, Stale: at + leaseStale, Due: at + leaseDue, Degraded: at + leaseEnd},
		Recall: l.recall,
	}
	if l.recall != nil { // a recalled lease ends at the recall's deadline
		for _, date := range []*int64{&doc.Refresh[0], &doc.Refresh[1], &doc.Stale, &doc.Due, &doc.Expires, &doc.Degraded} {
			*date = max(at+1, min(*date, l.recall.Until))
		}
	}
	return s.sign(license.TypeLease, doc)
}

func (s *server) renew(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Generation int64
		Nonce      string
	}
	if !read(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[r.PathValue("id")]
	switch {
	case l == nil:
		problem(w, http.StatusNotFound, "not_found", "there is no such lease")
		return
	case s.status != license.Active:
		d := license.Decision{Outcome: license.Denied, Code: license.CodeSuspended, Reason: license.Reason(license.CodeSuspended), Rule: "license.state"}
		delete(s.leases, l.id)
		write(w, 200, map[string]any{"decision": d, "reply": s.reply(in.Nonce, "", d)})
		return
	case in.Nonce != l.nonce:
		l.generation, l.nonce = l.generation+1, in.Nonce
	}
	write(w, 200, map[string]any{"lease": s.signLease(l, in.Nonce)})
}

func (s *server) release(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	_ = s.change(func(s *server) error { delete(s.leases, id); return nil })
	write(w, 200, map[string]any{"id": id, "free_at": s.now().Unix()})
}

type result struct {
	ID       string            `json:"id"`
	Status   string            `json:"status"`
	Decision *license.Decision `json:"decision,omitempty"`
	Reason   string            `json:"reason,omitempty"`
}

// count counts each event once, up to the quota.
func (s *server) count(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Events []copyhold.Usage
		Nonce  string
	}
	if !read(w, r, &in) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said := license.Decision{Outcome: license.Allowed, Code: license.CodeOK}
	var results []result
	for _, u := range in.Events {
		one := s.countEvent(u)
		if one.Decision != nil && one.Decision.Outcome == license.Denied && said.Outcome == license.Allowed {
			said = *one.Decision
		}
		results = append(results, one)
	}
	write(w, 200, map[string]any{"results": results, "reply": s.reply(in.Nonce, "", said)})
}

func (s *server) countEvent(u copyhold.Usage) result {
	quota, known := s.meters[u.Meter]
	quantity, ok := new(big.Rat).SetString(u.Quantity)
	if !known || !ok {
		return result{ID: u.ID, Status: "invalid", Reason: "the license has no meter " + u.Meter}
	}
	if s.usageKnown[u.ID] {
		return result{ID: u.ID, Status: "duplicate"}
	}
	used := new(big.Rat).Set(quantity)
	for _, other := range s.usage {
		if n, ok := new(big.Rat).SetString(other.Quantity); ok && other.Meter == u.Meter {
			used.Add(used, n)
		}
	}
	if used.Cmp(new(big.Rat).SetInt64(quota)) > 0 {
		return result{ID: u.ID, Status: "denied", Decision: &license.Decision{
			Outcome: license.Denied, Code: license.CodeQuotaSpent, Rule: "meter.quota", Capacity: quota,
			Reason: fmt.Sprintf("the quota of %d of the meter %s is used up", quota, u.Meter),
		}}
	}
	s.usageKnown[u.ID] = true
	s.usage = append(s.usage, u)
	return result{ID: u.ID, Status: "recorded", Decision: &license.Decision{Outcome: license.Allowed, Code: license.CodeOK, Rule: "meter.quota", Capacity: quota}}
}
