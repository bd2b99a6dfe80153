package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"copyhold.dev/sdk/license"
)

const (
	day    = 24 * 60 * 60
	now    = 1_800_000_000
	issuer = "urn:copyhold:01vectors000000000000000000:production"
)

// A signer is a key pair derived from a name, with its entry in a key set.
type signer struct {
	license.Key
	priv ed25519.PrivateKey
}

func newSigner(name string, kinds []license.Type, from, until, trust int64) signer {
	seed := sha256.Sum256([]byte("copyhold vectors: " + name))
	priv := ed25519.NewKeyFromSeed(seed[:])
	return signer{license.NewKey(priv.Public().(ed25519.PublicKey), kinds, from, until, trust), priv}
}

func (s signer) sign(message []byte) []byte { return ed25519.Sign(s.priv, message) }

// jws signs any payload under any header, which real code must never do.
func (s signer) jws(header, payload string) string {
	text := b64(header) + "." + b64(payload)
	return text + "." + b64(string(s.sign([]byte(text))))
}

// as signs any payload under the header of the profile.
func (s signer) as(t license.Type, payload string) string {
	return s.jws(s.header(t), payload)
}

func (s signer) header(t license.Type) string {
	return `{"alg":"` + s.Alg + `","kid":"` + s.Kid + `","typ":"` + string(t) + `"}`
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// text returns a document's payload. Each edit replaces one piece of it.
func text(doc any, edits ...string) string {
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	s := string(raw)
	for i := 0; i < len(edits); i += 2 {
		if strings.Count(s, edits[i]) != 1 {
			panic("not once: " + edits[i] + " in " + s)
		}
		s = strings.Replace(s, edits[i], edits[i+1], 1)
	}
	return s
}

func signAll(t license.Type, doc any, by ...signer) []string {
	var list []string
	for _, s := range by {
		list = append(list, s.as(t, text(doc)))
	}
	return list
}

var (
	everything = []license.Type{license.TypeLicense, license.TypeLease, license.TypeReply, license.TypeRevocations,
		license.TypeEdge, license.TypeOverride, license.TypeBulletin}
	setsOnly  = []license.Type{license.TypeKeySet, license.TypeRootSet}
	edgeKinds = []license.Type{license.TypeLease, license.TypeReply, license.TypeEdge}
)

type world struct {
	root1, root2, root3, root4, spent            signer
	key, later, earlier, modern, gone, leaseOnly signer
	stranger, edge1, edge2, edge3, edge4         signer
	trust                                        map[string]Trust
	accepted, refused                            []Vector
}

func newWorld() *world {
	root := func(name string) signer { return newSigner(name, setsOnly, now-1000*day, now+3000*day, now+4000*day) }
	key := func(name string, from, until int64, kinds ...license.Type) signer {
		return newSigner(name, kinds, now+from*day, now+until*day, now+(until+400)*day)
	}
	edge := func(name string) signer {
		return newSigner(name, edgeKinds, now-day, now+5*day, now+40*day)
	}
	w := &world{
		root1: root("root 1"), root2: root("root 2"), root3: root("root 3"), root4: root("root 4"), spent: root("root spent"),
		key:       key("key", -30, 60, everything...),
		later:     key("key later", 60, 120, everything...),
		earlier:   key("key earlier", -120, -30, everything...),
		modern:    key("key modern", -30, 60, everything...),
		gone:      key("key gone", -30, 60, everything...),
		leaseOnly: key("key for leases", -30, 60, license.TypeLease),
		stranger:  key("stranger", -30, 60, everything...),
		edge1:     edge("edge 1"), edge2: edge("edge 2"), edge3: edge("edge 3"), edge4: edge("edge 4"),
		trust: map[string]Trust{},
	}
	w.modern.Alg = license.AlgEd25519
	w.gone.Withdrawn = now - 2*day
	w.spent.Withdrawn = now - 2*day
	w.edge2.SignUntil, w.edge3.SignUntil, w.edge4.SignUntil = now+4*day, now+3*day, now+2*day
	w.trusts()
	return w
}

func (w *world) trusts() {
	pinned := signAll(license.TypeRootSet, w.rootSet(1), w.root1, w.root2)
	keys := signAll(license.TypeKeySet, w.keySet(2), w.root1, w.root3)
	w.trust["main"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned, KeySet: keys}
	w.trust["auditor"] = Trust{Issuer: issuer, Auditor: true, Pinned: pinned, KeySet: keys}
	w.trust["pinned"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned}
	old := w.keySet(2)
	old.IssuedAt, old.NotBefore, old.Expires = now-20*day, now-20*day, now-day
	w.trust["expired"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned, KeySet: signAll(license.TypeKeySet, old, w.root1, w.root3)}
	w.trust["rotated"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned, RootSets: [][]string{w.rotation()}, KeySet: keys}
	w.trust["remembered"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned, KeySet: w.brief(3)}
	w.trust["floor"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned, Floor: keys}
	w.trust["floor-rotated"] = Trust{Issuer: issuer, Product: "lathe", Pinned: pinned, Floor: keys, RootSets: [][]string{w.rotation()}}

	short := w.rootSet(1)
	short.IssuedAt, short.NotBefore, short.Expires = now-100*day, now-100*day, now-10*day
	w.trust["root-expired"] = Trust{Issuer: issuer, Product: "lathe", Pinned: signAll(license.TypeRootSet, short, w.root1, w.root2)}
	gone := w.rootSet(1)
	gone.Keys = append(gone.Keys, w.spent.Key)
	w.trust["root-withdrawn"] = Trust{Issuer: issuer, Product: "lathe", Pinned: signAll(license.TypeRootSet, gone, w.root1, w.root2)}
}

// brief returns a key set that ends in ten days, long before the documents that its keys sign.
func (w *world) brief(number int64) []string {
	set := w.keySet(number)
	set.Expires = now + 10*day
	return signAll(license.TypeKeySet, set, w.root1, w.root3)
}

// careless returns a key set from before the key "gone" was withdrawn.
func (w *world) careless(number int64, by ...signer) []string {
	set := w.keySet(number)
	for i := range set.Keys {
		set.Keys[i].Withdrawn = 0
	}
	return signAll(license.TypeKeySet, set, by...)
}

// exported returns a license of 400 days, as in a license file.
func exported() license.License {
	l := minimal()
	l.Claims = claims("doc_7", 400*day)
	l.Dates = dates(l.Claims)
	return l
}

// rotation returns the second root set: root 1 is removed, root 4 is added, and both sign it.
func (w *world) rotation() []string {
	return signAll(license.TypeRootSet, w.secondRootSet(), w.root1, w.root2, w.root4)
}

func (w *world) secondRootSet() license.RootSet {
	set := w.rootSet(2)
	set.Keys = []license.Key{w.root2.Key, w.root3.Key, w.root4.Key}
	return set
}

func claims(id string, life int64) license.Claims {
	return license.Claims{
		Issuer: issuer, Audience: []string{"lathe"}, Subject: "lic_1", IssuedAt: now - day, NotBefore: now - day,
		Expires: now - day + life, ID: id, Version: license.Version, Seq: license.Seq{Epoch: 1, Counter: 7},
	}
}

func (w *world) rootSet(number int64) license.RootSet {
	c := claims("rootset", 2000*day)
	c.Audience, c.Subject = nil, ""
	return license.RootSet{Claims: c, Number: number, K: 2, Keys: []license.Key{w.root1.Key, w.root2.Key, w.root3.Key}}
}

func (w *world) keySet(number int64) license.KeySet {
	c := claims("keyset", 700*day)
	c.Audience, c.Subject = nil, ""
	return license.KeySet{Claims: c, Number: number, Keys: []license.Key{
		w.key.Key, w.later.Key, w.earlier.Key, w.modern.Key, w.gone.Key, w.leaseOnly.Key}}
}

// small returns a key set with one key.
func (w *world) small(number int64) license.KeySet {
	set := w.keySet(number)
	set.Keys = set.Keys[:1]
	return set
}

func dates(c license.Claims) license.Dates {
	return license.Dates{
		Refresh: [2]int64{c.IssuedAt + 2*day, c.IssuedAt + 3*day}, Stale: c.IssuedAt + 4*day,
		Due: c.IssuedAt + 7*day, Degraded: c.Expires + 30*day,
	}
}

func minimal() license.License {
	c := claims("doc_1", 21*day)
	return license.License{
		Claims: c, Dates: dates(c), Customer: "cus_1", Plan: "studio", Revision: "r1", Status: license.Active,
		Features: map[string]license.Feature{"export": {Value: license.BoolValue(true)}},
	}
}

func full() license.License {
	l := minimal()
	l.Audience = []string{"mill", "lathe"}
	l.Edition = "pro"
	l.Term = license.Term{Start: now - 100*day, End: now + 265*day, RenewalGraceEnd: now + 268*day, Maintenance: now + 265*day}
	l.Features = map[string]license.Feature{
		"export":     {Value: license.BoolValue(true)},
		"max_layers": {Value: license.IntValue(license.MaxInt)},
		"theme":      {Value: license.TextValue("nächtliches Blau 🌒 <&>")},
		"beta":       {Value: license.BoolValue(true), Until: now + 30*day},
	}
	l.Fallback = map[string]license.Feature{"max_layers": {Value: license.IntValue(-5)}, "export": {Value: license.BoolValue(false)}}
	l.Pools = map[string]license.Pool{
		"seats":    {Capacity: 5, Holder: "user", Overdraft: 1, Borrow: 30 * day, Full: "queue"},
		"machines": {Capacity: 3, Holder: "machine", Full: "deny"},
	}
	l.Meters = map[string]license.Meter{"calls": {Unit: "call", Quota: 1000, Soft: 800, Hard: 1200, Per: "month",
		PeriodStart: now - 10*day, PeriodEnd: now + 20*day, Used: 41, Full: "fallback"}}
	l.Binding = &license.Binding{Kind: "machine", Holder: "m_1", Need: 2,
		Components: map[string]string{"cpu": "0a", "disk": "0b", "host": "0c"}, Device: "1gNEPBAbcsLQMhkTFpt34VT4U0l8k7EZeJcmCJWSU4w"}
	l.Keys = map[string]string{"export": "AAAA"}
	l.Head = &license.Head{Origin: "log.example/1", Size: 42, Root: "AAAA"}
	l.Nonce = "n-1"
	return l
}

func lease() license.Lease {
	c := claims("doc_2", 2*day)
	return license.Lease{
		Claims: c, Dates: license.Dates{Refresh: [2]int64{c.IssuedAt + 10, c.IssuedAt + 20}, Stale: c.IssuedAt + 30, Due: now, Degraded: c.Expires},
		Lease: "lea_1", Pool: "seats", Units: 2, Holder: "ada", Instance: "i1", Generation: 3,
	}
}

// recalled returns the renewed lease after its holder was asked to give it back. It ends when the
// holder must stop.
func recalled() license.Lease {
	l := lease()
	l.ID, l.Seq.Counter, l.Must = "doc_recall", l.Seq.Counter+1, []string{"recall"}
	l.Recall = &license.Recall{Until: now + 30, Reason: "the night build needs it"}
	l.Expires, l.Degraded = l.Recall.Until, l.Recall.Until
	return l
}

func reply() license.Reply {
	c := claims("doc_3", 2*day)
	return license.Reply{Claims: c, Nonce: "n-2", Time: now - day,
		Decision: license.Decision{Outcome: license.Denied, Code: license.CodePoolFull, Reason: "all 5 seats are held", Rule: "pools.seats"}}
}

func revocations() license.Revocations {
	c := claims("doc_4", 7*day)
	c.Audience, c.Subject = nil, ""
	return license.Revocations{Claims: c, Revoked: []license.Revocation{
		{Subject: "lic_9", At: now - 2*day, Reason: "chargeback"}, {Subject: "lic_8", At: now, Fallback: true, Seq: license.Seq{Epoch: 1, Counter: 4}}}}
}

func override() license.Override {
	c := claims("doc_5", 30*day)
	return license.Override{Claims: c, Dates: dates(c), Reason: "their firewall", Approved: []string{"ada", "bob"}}
}

func bulletin() license.Bulletin {
	c := claims("doc_6", 30*day)
	c.Subject = ""
	return license.Bulletin{Claims: c, Dates: dates(c), Reason: "data centre down", Plans: []string{"studio"}}
}

// cert returns an edge certificate; narrow makes it a child of one with narrow-1.
func cert(of signer, name string, narrow int64) license.Edge {
	c := claims("crt_"+name, 10*day)
	c.Audience = []string{"lathe", "mill"}
	c.Expires -= narrow * day
	return license.Edge{Claims: c, Edge: name, Incarnation: 1, Key: of.Key, Pools: map[string]int64{"seats": 10 - narrow, "machines": 1}}
}

// chain returns n certificates, the last edge's first, and that edge.
func (w *world) chain(n int) ([]string, signer) {
	by, chain := w.key, []string(nil)
	for i, edge := range []signer{w.edge1, w.edge2, w.edge3, w.edge4}[:n] {
		c := cert(edge, "edge_"+string(rune('1'+i)), int64(i))
		chain = append([]string{by.as(license.TypeEdge, text(c))}, chain...)
		by = edge
	}
	return chain, by
}

func edgeLease(edge string) license.Lease {
	l := lease()
	l.IssuedAt, l.NotBefore = now, now
	l.Dates = license.Dates{Refresh: [2]int64{now + 10, now + 20}, Stale: now + 30, Due: now + 60, Degraded: now + day}
	l.Expires = now + day
	l.Node, l.Incarnation = edge, 1
	return l
}

func edgeReply(edge string) license.Reply {
	r := reply()
	r.IssuedAt, r.NotBefore, r.Expires, r.Time, r.Node = now, now, now+60, now, edge
	return r
}
