package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"

	"copyhold.dev/sdk/license"
)

func (w *world) refuseChains() {
	w.refuseCertificates()
	w.refuseChildren()
	w.refuseLeaves()
}

func (w *world) refuseCertificates() {
	try := func(reason, name, why string, edit func(*license.Edge)) {
		c := cert(w.edge1, "edge_1", 0)
		edit(&c)
		w.no(reason, Vector{Name: "edge: " + name, Op: "edge", Why: why, Chain: []string{w.key.as(license.TypeEdge, text(c))}})
	}
	try("Format", "sub missing", "of which license?", func(c *license.Edge) { c.Subject = "" })
	try("Format", "edge missing", "whose?", func(c *license.Edge) { c.Edge = "" })
	try("Format", "incarnation negative", "counted from 0", func(c *license.Edge) { c.Incarnation = -1 })
	try("Format", "units negative", "counted from 0", func(c *license.Edge) { c.Pools["seats"] = -1 })
	try("Format", "its key withdrawn by itself", "certificates are revoked otherwise", func(c *license.Edge) { c.Key.Withdrawn = now })
	try("Chain", "of more than 30 days", "30 days at most", func(c *license.Edge) { c.Expires = c.NotBefore + license.MaxEdgeLife + 1 })
	try("Chain", "signs licenses", "leases, replies and edges below", func(c *license.Edge) { c.Key.Use = append(c.Key.Use[:3:3], license.TypeLicense) })
	try("Chain", "signs revocations", "leases, replies and edges below", func(c *license.Edge) { c.Key.Use = []license.Type{license.TypeRevocations} })
	try("Chain", "signs before nbf", "within the certificate", func(c *license.Edge) { c.Key.SignFrom = c.NotBefore - 1 })
	try("Chain", "signs after exp", "within the certificate", func(c *license.Edge) { c.Key.SignUntil = c.Expires + 1 })
	try("Key", "key zero", "anybody can sign for it", func(c *license.Edge) {
		k := license.NewKey(make([]byte, ed25519.PublicKeySize), edgeKinds, c.NotBefore, c.Expires, c.Expires)
		c.Key = k
	})
	try("Key", "key under another name", "kid is the thumbprint", func(c *license.Edge) { c.Key.Kid = w.edge2.Kid })
	try("KeyDates", "key trusted longer than its signer's", "within the signer's trust", func(c *license.Edge) { c.Key.TrustUntil = w.key.TrustUntil + 1 })
	try("KeyDates", "outlives its signer's key", "within the signer's trust", func(c *license.Edge) {
		c.Key.TrustUntil = w.key.TrustUntil + 40*day
	})
	try("Issuer", "iss of staging", "another environment", func(c *license.Edge) { c.Issuer = strings.Replace(issuer, "production", "staging", 1) })
	try("Audience", "aud of another product", "another product", func(c *license.Edge) { c.Audience = []string{"mill"} })
	try("NotYet", "nbf ahead", "more than 60 s ahead", func(c *license.Edge) { c.NotBefore, c.Key.SignFrom = now+61, now+61 })
	chain, _ := w.chain(1)
	w.no("Chain", Vector{Name: "edge: no chain", Op: "edge", Why: "at least one certificate"})
	w.no("Expired", Vector{Name: "edge: expired", Op: "edge", Why: "exp has passed", Now: now + 9*day, Chain: chain})
	w.no("KeySetExpired", Vector{Name: "edge: key set expired", Op: "edge", Why: "a new document under an old key set", Trust: "expired", Chain: chain})
	c := cert(w.edge1, "edge_1", 0)
	w.no("Withdrawn", Vector{Name: "edge: key withdrawn", Op: "edge", Why: "a thief's", Chain: []string{w.gone.as(license.TypeEdge, text(c))}})
	w.no("UnknownKey", Vector{Name: "edge: by a stranger", Op: "edge", Why: "nobody vouches for the signer", Chain: []string{w.stranger.as(license.TypeEdge, text(c))}})
	w.no("UnknownKey", Vector{Name: "edge: by a key for leases", Op: "edge", Why: "its entry does not allow certificates", Chain: []string{w.leaseOnly.as(license.TypeEdge, text(c))}})
	w.no("UnknownKey", Vector{Name: "edge: by itself", Op: "edge", Why: "nobody vouches for the signer", Chain: []string{w.edge1.as(license.TypeEdge, text(c))}})
}

// refuseChildren makes the second of two certificates wider than the first.
func (w *world) refuseChildren() {
	try := func(reason, name, why string, edit func(parent, child *license.Edge)) {
		parent, child := cert(w.edge1, "edge_1", 0), cert(w.edge2, "edge_2", 1)
		edit(&parent, &child)
		w.no(reason, Vector{Name: "chain: " + name, Op: "edge", Why: why,
			Chain: []string{w.edge1.as(license.TypeEdge, text(child)), w.key.as(license.TypeEdge, text(parent))}})
	}
	try("Chain", "child of another license", "the parent's license", func(_, c *license.Edge) { c.Subject = "lic_2" })
	try("Chain", "child of another product", "the parent's products", func(_, c *license.Edge) { c.Audience = []string{"lathe", "press"} })
	try("Issuer", "child of another environment", "the parent's environment", func(_, c *license.Edge) { c.Issuer = strings.Replace(issuer, "production", "staging", 1) })
	try("Chain", "child of more units", "the parent's units", func(_, c *license.Edge) { c.Pools["seats"] = 11 })
	try("Chain", "child of another pool", "the parent's pools", func(_, c *license.Edge) { c.Pools["users"] = 1 })
	try("KeyDates", "child begins earlier", "the parent's signing window, which begins at its nbf or later", func(p, _ *license.Edge) { p.NotBefore, p.Key.SignFrom = p.NotBefore+1, p.NotBefore+1 })
	try("Chain", "child ends with its parent", "exp at or before the parent's less 2ε", func(p, c *license.Edge) { c.Expires = p.Expires })
	try("Chain", "child ends 119 s before its parent", "exp at or before the parent's less 2ε", func(p, c *license.Edge) { c.Expires = p.Expires - 119 })
	try("Chain", "child signs more kinds", "the parent's kinds", func(p, c *license.Edge) { p.Key.Use = []license.Type{license.TypeLease, license.TypeEdge} })
	try("UnknownKey", "parent may not certify", "the parent signs leases only", func(p, c *license.Edge) { p.Key.Use = []license.Type{license.TypeLease, license.TypeReply} })
	try("KeyDates", "child's key trusted longer", "within the parent's trust", func(p, c *license.Edge) { c.Key.TrustUntil = p.Key.TrustUntil + 1 })
	try("KeyDates", "child issued after its parent signs", "within the parent's signing window", func(p, c *license.Edge) {
		p.Key.SignUntil = p.NotBefore + 60
		c.IssuedAt = p.NotBefore + 60
		c.NotBefore = c.IssuedAt
		c.Key.SignFrom = c.NotBefore
	})
	try("Audience", "child not for this product", "a narrower child, without us", func(_, c *license.Edge) { c.Audience = []string{"mill"} })
	try("NotYet", "child's nbf ahead", "more than 60 s ahead", func(_, c *license.Edge) { c.NotBefore, c.Key.SignFrom = now+61, now+61 })
	four, edge := w.chain(4)
	w.no("Chain", Vector{Name: "chain: four certificates", Op: "edge", Why: "three at most", Chain: four})
	w.no("Chain", Vector{Name: "chain: lease under four certificates", Op: "lease_chain", Why: "three at most", Chain: four, Doc: edge.as(license.TypeLease, text(edgeLease("edge_4")))})
	two, _ := w.chain(2)
	back := slices.Clone(two)
	slices.Reverse(back)
	w.no("UnknownKey", Vector{Name: "chain: in the wrong order", Op: "edge", Why: "the leaf's signer comes first", Chain: back})
	w.no("UnknownKey", Vector{Name: "chain: a link missing", Op: "edge", Why: "nobody vouches for the signer", Chain: two[:1]})
	w.no("Expired", Vector{Name: "chain: child expired", Op: "edge", Why: "exp has passed", Now: now + 8*day, Chain: two})
}

func (w *world) refuseLeaves() {
	chain, edge := w.chain(2)
	try := func(reason, name, why string, edit func(*license.Lease)) {
		l := edgeLease("edge_2")
		edit(&l)
		w.no(reason, Vector{Name: "chain: lease " + name, Op: "lease_chain", Why: why, Chain: chain, Doc: edge.as(license.TypeLease, text(l))})
	}
	try("Chain", "of another license", "the certificate's license", func(l *license.Lease) { l.Subject = "lic_2" })
	try("Chain", "of another product too", "the certificate's products", func(l *license.Lease) { l.Audience = []string{"lathe", "press"} })
	try("Issuer", "of another environment", "the certificate's environment", func(l *license.Lease) { l.Issuer = strings.Replace(issuer, "production", "staging", 1) })
	try("Audience", "not for this product", "another product", func(l *license.Lease) { l.Audience = []string{"mill"} })
	try("Chain", "of more units", "the certificate's units", func(l *license.Lease) { l.Units = 10 })
	try("Chain", "of another pool", "the certificate's pools", func(l *license.Lease) { l.Pool = "users" })
	try("Chain", "longer than the certificate", "exp at or before the certificate's less 2ε", func(l *license.Lease) {
		l.Expires, l.Degraded = now+8*day-119, now+8*day-119
	})
	try("Chain", "of another edge", "the certificate's edge", func(l *license.Lease) { l.Node = "edge_1" })
	try("Chain", "of no edge", "the certificate's edge", func(l *license.Lease) { l.Node = "" })
	try("Chain", "of another incarnation", "the certificate's incarnation", func(l *license.Lease) { l.Incarnation = 2 })
	try("KeyDates", "beyond the trust of the edge's key", "trust_until", func(l *license.Lease) { l.Degraded = now + 40*day + 1 })
	try("KeyDates", "issued after the edge signs", "sign_until", func(l *license.Lease) {
		l.IssuedAt += 4 * day
		l.NotBefore, l.Refresh, l.Stale, l.Due, l.Expires, l.Degraded = l.IssuedAt, [2]int64{l.IssuedAt, l.IssuedAt}, l.IssuedAt, l.IssuedAt, l.IssuedAt+60, l.IssuedAt+60
	})
	try("Format", "of no units", "at least one", func(l *license.Lease) { l.Units = 0 })
	try("NotYet", "nbf ahead", "more than 60 s ahead", func(l *license.Lease) { l.NotBefore = now + 61 })
	leaf := edge.as(license.TypeLease, text(edgeLease("edge_2")))
	w.no("Expired", Vector{Name: "chain: lease expired", Op: "lease_chain", Why: "its last date has passed", Now: now + day, Chain: chain, Doc: leaf})
	w.no("Chain", Vector{Name: "chain: lease without a chain", Op: "lease_chain", Why: "at least one certificate", Doc: leaf})
	w.no("UnknownKey", Vector{Name: "chain: lease by another edge", Op: "lease_chain", Why: "the chain is of another edge", Chain: chain[1:], Doc: leaf})
	w.no("UnknownKey", Vector{Name: "chain: lease by the origin", Op: "lease_chain", Why: "under a chain only the edge signs", Chain: chain, Doc: w.key.as(license.TypeLease, text(edgeLease("edge_2")))})
	early := edgeLease("edge_1")
	early.IssuedAt, early.NotBefore = now-day, now-day
	late := cert(w.edge1, "edge_1", 0)
	late.NotBefore, late.IssuedAt = now-day+10, now-day
	late.Key.SignFrom = late.NotBefore
	early.IssuedAt, early.NotBefore = now-day+9, now-day+9
	w.no("KeyDates", Vector{Name: "chain: lease before its certificate", Op: "lease_chain", Why: "sign_from is the certificate's nbf at the earliest",
		Chain: []string{w.key.as(license.TypeEdge, text(late))}, Doc: w.edge1.as(license.TypeLease, text(early))})
	reply := func(reason, name, why, nonce string, chain []string, edit func(*license.Reply)) {
		r := edgeReply("edge_2")
		edit(&r)
		w.no(reason, Vector{Name: "chain: reply " + name, Op: "reply_chain", Why: why, Nonce: nonce, Chain: chain, Doc: edge.as(license.TypeReply, text(r))})
	}
	reply("Nonce", "with another nonce", "a replayed answer", "n-3", chain, func(*license.Reply) {})
	reply("Nonce", "to a question without a nonce", "nothing would prove that it is fresh", "", chain, func(r *license.Reply) { r.Nonce = "" })
	reply("Chain", "of another license", "the certificate's license", "n-2", chain, func(r *license.Reply) { r.Subject = "lic_2" })
	reply("Chain", "of another edge", "the certificate's edge", "n-2", chain, func(r *license.Reply) { r.Node = "edge_1" })
	reply("Chain", "without a chain", "at least one certificate", "n-2", nil, func(*license.Reply) {})
	reply("Format", "without a time", "the edge's time", "n-2", chain, func(r *license.Reply) { r.Time = 0 })
}

func (w *world) refuseReplacements() {
	lic := func(reason, name, why string, doc, held string) {
		w.no(reason, Vector{Name: "replace: license " + name, Op: "license_replace", Why: why, Held: held, Doc: doc})
	}
	doc := w.license()
	lic("Seq", "by a lower counter", "an older document", doc, w.license(`"seq":[1,7]`, `"seq":[1,8]`))
	lic("Seq", "by a lower epoch", "from before a restore", w.license(`"seq":[1,7]`, `"seq":[1,900]`), w.license(`"seq":[1,7]`, `"seq":[2,0]`))
	lic("Seq", "by another of the same seq", "not higher", doc, w.license(`"jti":"doc_1"`, `"jti":"doc_0"`))
	lic("Subject", "by another's", "another license", doc, w.license(`"sub":"lic_1"`, `"sub":"lic_2"`, `"seq":[1,7]`, `"seq":[0,1]`))
	lic("Subject", "of another environment", "another issuer", doc, w.license(`production"`, `staging"`, `"seq":[1,7]`, `"seq":[0,1]`))
	chain, edge := w.chain(1)
	leased := func(edits ...string) string {
		return edge.as(license.TypeLease, text(edgeLease("edge_1"), append(edits, `"seq":[1,7]`, `"seq":[1,6]`)...))
	}
	one := edge.as(license.TypeLease, text(edgeLease("edge_1")))
	try := func(reason, name, why, held string) {
		w.no(reason, Vector{Name: "replace: lease " + name, Op: "lease_replace", Why: why, Chain: chain, Doc: one, Held: held})
	}
	try("Seq", "by a lower counter", "an older document", edge.as(license.TypeLease, text(edgeLease("edge_1"), `"seq":[1,7]`, `"seq":[1,8]`)))
	try("Seq", "by a lower incarnation", "an edge from before it was set up anew", leased(`"incarnation":1`, `"incarnation":2`))
	try("Subject", "of another edge", "they are not compared", leased(`"node":"edge_1"`, `"node":"edge_2"`))
	try("Subject", "of another lease", "another lease", leased(`"lease":"lea_1"`, `"lease":"lea_2"`))
	try("Subject", "of another license", "another license", leased(`"sub":"lic_1"`, `"sub":"lic_2"`))
	try("Subject", "of another environment", "another issuer", leased(`production"`, `staging"`))
	list := func(edits ...string) string {
		return w.key.as(license.TypeRevocations, text(revocations(), edits...))
	}
	w.no("Seq", Vector{Name: "replace: revocations by older ones", Op: "revocations_replace", Why: "an older list", Doc: list(), Held: list(`"seq":[1,7]`, `"seq":[1,8]`)})
	w.no("Subject", Vector{Name: "replace: revocations of another environment", Op: "revocations_replace", Why: "another issuer", Doc: list(),
		Held: list(`production"`, `staging"`, `"seq":[1,7]`, `"seq":[1,6]`)})
}

func (w *world) refuseFiles() {
	good := bytesOf(w.bundle())
	edit := func(edits ...string) []byte { return []byte(text(w.bundle(), edits...)) }
	bundle := func(reason, name, why string, data []byte) {
		w.no(reason, Vector{Name: "file: " + name, Op: "bundle", Why: why, Data: data})
	}
	bundle("Format", "empty", "nothing", []byte{})
	bundle("Version", "v 2", "a later format", edit(`"v":1`, `"v":2`))
	bundle("Version", "v missing", "no format", edit(`"v":1,`, ``))
	bundle("Format", "doc missing", "no document", []byte(`{"v":1,"keyset":["a.b.c"]}`))
	bundle("Format", "key set missing", "nothing vouches for any key", []byte(`{"v":1,"doc":"a.b.c"}`))
	bundle("Format", "key set of too many signatures", "more than sixteen", []byte(text(license.Bundle{V: 1, Doc: "a", KeySet: repeat("a", 17)})))
	bundle("Format", "root set of too many signatures", "more than sixteen", []byte(text(license.Bundle{V: 1, Doc: "a", KeySet: []string{"a"}, RootSet: repeat("a", 17)})))
	bundle("Chain", "chain of four", "three at most", []byte(text(license.Bundle{V: 1, Doc: "a", KeySet: []string{"a"}, Chain: repeat("a", 4)})))
	bundle("Format", "doc twice", "no member twice", edit(`"v":1`, `"v":1,"doc":"x"`))
	bundle("Format", "data after the end", "one value", append(slices.Clone(good), '{'))
	w.no("Format", Vector{Name: "file: too long", Op: "bundle", Why: "1 MiB", Data: good, Pad: license.MaxBundle - len(good) + 1})
	armour := string(license.Armor(good))
	mail := func(reason, name, why, data string) { bundle(reason, "armour "+name, why, []byte(data)) }
	mail("Encoding", "without an end", "cut off", armour[:len(armour)-10])
	mail("Encoding", "twice", "one file", armour+armour)
	mail("Encoding", "begun twice", "one file", strings.Replace(armour, "-----\n", "-----\n-----BEGIN COPYHOLD LICENSE-----\n", 1))
	mail("Encoding", "ended twice", "one end", armour+"-----END COPYHOLD LICENSE-----\n")
	mail("Encoding", "with a foreign line", "a header or a remark within", strings.Replace(armour, "-----\n", "-----\nVersion: 1\n\n", 1))
	mail("Encoding", "without padding", "base64 with its padding", strings.ReplaceAll(string(license.Armor(append(slices.Clone(good), strings.Repeat(" ", 3-(len(good)+2)%3)...))), "=", ""))
	w.no("Encoding", Vector{Name: "armour: ends before it begins", Op: "armour", Why: "an end alone", Data: []byte("-----END COPYHOLD LICENSE-----\n")})
	w.no("Encoding", Vector{Name: "armour: none", Op: "armour", Why: "no license in this mail", Data: []byte("hello\n")})
	w.no("Encoding", Vector{Name: "armour: too long", Op: "armour", Why: "1 MiB", Data: []byte(armour), Pad: license.MaxBundle - len(armour) + 1})
	b := w.bundle()
	own := w.small(9)
	own.Keys = []license.Key{w.stranger.Key}
	foreign := license.Bundle{V: 1, Doc: w.stranger.as(license.TypeLicense, text(minimal())), KeySet: signAll(license.TypeKeySet, own, w.stranger, w.root4)}
	file := func(reason, name, why, trust string, b license.Bundle) {
		w.no(reason, Vector{Name: "file: " + name, Op: "file", Why: why, Trust: trust, Data: bytesOf(b)})
	}
	file("Threshold", "with its own keys", "a key from inside the file", "pinned", foreign)
	w.refuseLateFiles()
	mine := w.rootSet(9)
	mine.K, mine.Keys = 1, []license.Key{w.stranger.setKey()}
	foreign.RootSet = signAll(license.TypeRootSet, mine, w.stranger)
	foreign.KeySet = signAll(license.TypeKeySet, own, w.stranger)
	file("Threshold", "with its own root", "a root from inside the file", "pinned", foreign)
	file("UnknownKey", "with an old key set that lacks the key", "the key set in force is newer", "main",
		license.Bundle{V: 1, Doc: w.stranger.as(license.TypeLicense, text(minimal())), KeySet: signAll(license.TypeKeySet, w.small(1), w.root1, w.root2)})
	file("Type", "holding a key set", "not a document for a customer", "pinned", license.Bundle{V: 1, Doc: b.KeySet[0], KeySet: b.KeySet})
	unsigned := b
	unsigned.RootSet = append(w.rotation()[:2:2], impostor(w.stranger, w.root3).as(license.TypeRootSet, text(w.secondRootSet())))
	file("Signature", "with a root set signed wrong", "a wrong one is never passed over", "pinned", unsigned)
	edited := b
	edited.Doc = strings.Replace(b.Doc, strings.Split(b.Doc, ".")[1], b64(text(full())), 1)
	file("Signature", "edited", "the payload is another", "pinned", edited)
	chain, edge := w.chain(1)
	wide := edgeLease("edge_1")
	wide.Units = 11
	file("Chain", "of an edge, wider than its chain", "the certificate's units", "pinned",
		license.Bundle{V: 1, Doc: edge.as(license.TypeLease, text(wide)), Chain: chain, KeySet: b.KeySet})
}

// refuseLateFiles adds files that a program reads long after they were written.
func (w *world) refuseLateFiles() {
	file := func(reason, name, why, trust string, at int64, doc string, keySet []string) {
		w.no(reason, Vector{Name: "file: " + name, Op: "file", Why: why, Trust: trust, Now: at, Data: bytesOf(license.Bundle{V: 1, Doc: doc, KeySet: keySet})})
	}
	late := w.key.as(license.TypeLicense, text(exported()))
	stolen := w.gone.as(license.TypeLicense, text(exported()))
	beyond := exported()
	beyond.Degraded = w.key.TrustUntil + 1
	file("Expired", "at its last date", "not accepted from there on", "pinned", exported().Degraded, late, w.brief(2))
	file("KeySetExpired", "issued when its key set had expired", "nothing vouched for its key then", "pinned", now, late, w.trust["expired"].KeySet)
	file("KeyDates", "lasts longer than its key is trusted", "the last date lies within trust_until", "pinned", now, w.key.as(license.TypeLicense, text(beyond)), w.brief(2))
	file("Withdrawn", "by a key that its own key set withdraws", "a thief's", "pinned", now, stolen, w.trust["main"].KeySet)
	file("Withdrawn", "by a key that the remembered key set withdraws", "the file's older key set is passed over", "main", now, stolen, w.careless(1, w.root1, w.root3))
	file("Withdrawn", "by a key that the floor withdraws", "the file's older key set is passed over, on a first start too", "floor", now, stolen, w.careless(1, w.root1, w.root3))
	file("Rollback", "with a key set below the floor, after a rotation", "the floor's own signatures went with root 1, its number did not", "floor-rotated", now, stolen,
		w.careless(1, w.root3, w.root4))
	w.no("KeySetExpired", Vector{Name: "file: its license without the file", Op: "license", Why: "outside a file an expired key set stops new documents", Trust: "remembered",
		Now: now + 10*day, Doc: late})
	w.trust["bad: floor of strangers"] = Trust{Issuer: issuer, Product: "lathe", Pinned: w.trust["pinned"].Pinned, Floor: signAll(license.TypeKeySet, w.small(2), w.stranger, w.root4)}
	w.no("Threshold", Vector{Name: "floor: of strangers", Op: "pinned", Why: "the pinned roots sign the floor too", Trust: "bad: floor of strangers"})
}

// raw signs parts unchanged.
func (s signer) raw(header, payload string) string {
	return header + "." + payload + "." + b64(string(s.sign([]byte(header+"."+payload))))
}

// hs256 makes a MAC with the public key. A verifier that lets the header choose the algorithm would
// accept it.
func (w *world) hs256(header, payload string) string {
	pub, _ := base64.RawURLEncoding.DecodeString(w.key.X)
	message := b64(header) + "." + b64(payload)
	mac := hmac.New(sha256.New, pub)
	mac.Write([]byte(message))
	return message + "." + b64(string(mac.Sum(nil)))
}

// malleable adds the group order to S.
func (w *world) malleable(doc string) string {
	last := strings.LastIndexByte(doc, '.')
	sig, _ := base64.RawURLEncoding.DecodeString(doc[last+1:])
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(sig[32:])
	slices.Reverse(s)
	sum := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return doc[:last+1] + b64(string(sig[:32])+string(sum))
}

// next64 returns the next character of base64url.
func next64(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[(strings.IndexByte(alphabet, c)+1)%64])
}
