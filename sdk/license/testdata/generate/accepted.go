package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"copyhold.dev/sdk/license"
)

func (w *world) ok(v Vector) {
	if v.Trust == "" {
		v.Trust = "main"
	}
	if v.Now == 0 {
		v.Now = now
	}
	w.accepted = append(w.accepted, v)
}

func (w *world) license(edits ...string) string {
	return w.key.as(license.TypeLicense, text(minimal(), edits...))
}

func (w *world) accept() {
	w.acceptLicenses()
	w.acceptOthers()
	w.acceptSets()
	w.acceptReplacements()
	w.acceptFiles()
	w.acceptText()
}

func (w *world) acceptLicenses() {
	doc := w.license()
	w.ok(Vector{Name: "license minimal", Op: "license", Why: "the least that a license says", Doc: doc})
	w.ok(Vector{Name: "license full", Op: "license", Why: "every claim; texts beyond ASCII", Doc: w.key.as(license.TypeLicense, text(full()))})
	w.ok(Vector{Name: "license for an auditor", Op: "license", Why: "an auditor looks at every product", Trust: "auditor",
		Doc: w.license(`"aud":["lathe"]`, `"aud":["mill"]`)})
	for _, status := range []string{license.Suspended, license.Revoked} {
		w.ok(Vector{Name: "license " + status, Op: "license", Why: "a true statement; the ladder denies",
			Doc: w.license(`"status":"active"`, `"status":"`+status+`"`)})
	}
	w.ok(Vector{Name: "license alg Ed25519", Op: "license", Why: "the key's entry says Ed25519 (RFC 9864), so does the header",
		Doc: w.modern.as(license.TypeLicense, text(minimal()))})
	w.ok(Vector{Name: "license with unknown claims", Op: "license", Why: "claims nobody lists in must are ignored, whatever their depth",
		Doc: w.license(`"ver":1`, `"ver":1,"later":{"a":[1,{"b":true}],"c":"d"}`)})
	w.ok(Vector{Name: "license must understood", Op: "license", Why: "must lists claims of this version",
		Doc: w.license(`"ver":1`, `"ver":1,"must":["features","exp"]`)})
	w.ok(Vector{Name: "license spaced", Op: "license", Why: "white space between tokens does not matter",
		Doc: w.license(`"ver":1`, " \"ver\" :\n\t1 \r")})
	w.ok(Vector{Name: "license escaped", Op: "license", Why: "escapes are decoded, pairs of surrogates too",
		Doc: w.license(`"customer":"cus_1"`, `"customer":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\ud83d\ude00"`)})
	w.ok(Vector{Name: "license name escaped", Op: "license", Why: "a member's name is compared after decoding",
		Doc: w.license(`"customer"`, `"cust\u006fmer"`)})
	w.ok(Vector{Name: "license many features", Op: "license", Why: "more than a hundred members in one object", Doc: w.many()})
	w.ok(Vector{Name: "license at nbf less epsilon", Op: "license", Why: "clocks may be 60 s apart", Now: now - day,
		Doc: w.license(`"nbf":1799913600`, `"nbf":1799913660`)})
	w.ok(Vector{Name: "license clock behind", Op: "license", Why: "iat is signed time: a clock behind it does not matter", Now: 1, Doc: doc})
	w.ok(Vector{Name: "license in grace", Op: "license", Why: "after due, before exp", Now: now + 10*day, Doc: doc})
	w.ok(Vector{Name: "license in fallback", Op: "license", Why: "after exp, before degraded", Now: now + 49*day, Doc: doc})
	w.ok(Vector{Name: "license ends with trust", Op: "license", Why: "the last date is that of the key",
		Doc: w.license(`"degraded":1804320000`, `"degraded":1839744000`)})
	w.ok(Vector{Name: "license issued last second", Op: "license", Why: "iat is in the last second of the signing window",
		Doc: w.earlier.as(license.TypeLicense, shifted(-29*day-1))})
	w.ok(Vector{Name: "license issued first second", Op: "license", Why: "iat is sign_from",
		Doc: w.key.as(license.TypeLicense, shifted(-29*day))})
	w.ok(Vector{Name: "license known, key set expired", Op: "license", Why: "an expired key set stops new documents only",
		Trust: "expired", Known: true, Doc: w.key.as(license.TypeLicense, shifted(-2*day))})
	w.ok(Vector{Name: "license known, withdrawn later", Op: "license", Why: "accepted before, issued before the cut-off",
		Known: true, Doc: w.gone.as(license.TypeLicense, shifted(-2*day))})
	w.ok(Vector{Name: "license known, run out", Op: "license", Why: "the ladder denies; the document is still the one accepted",
		Known: true, Now: now + 100*day, Doc: doc})
	w.ok(Vector{Name: "license for device, needs all", Op: "license", Why: "as many components as there are",
		Doc: w.license(`"ver":1`, `"ver":1,"cnf":{"kind":"machine","holder":"m","need":2,"components":{"a":"1","b":"2"}}`)})
	w.ok(Vector{Name: "license feature with an end", Op: "license", Why: "worth less from its end on",
		Doc: w.license(`{"value":true}`, `{"value":50,"until":1800000100,"then":10}`)})
	w.ok(Vector{Name: "license with its keys", Op: "license", Why: "it lists the digests of the license's keys, see licensekey.json",
		Doc: w.license(`"ver":1`, `"ver":1,"must":["license_keys"],"license_keys":["`+licenseKeys()[0].Digest+`"]`)})
}

// shifted returns the minimal license with all dates moved.
func shifted(by int64) string {
	l := minimal()
	l.IssuedAt += by
	l.NotBefore += by
	l.Expires += by
	l.Dates = dates(l.Claims)
	return text(l)
}

func (w *world) many() string {
	l := minimal()
	for i := range 150 {
		l.Features["f"+string(rune('a'+i%26))+string(rune('a'+i/26))] = license.Feature{Value: license.IntValue(int64(i))}
	}
	return w.key.as(license.TypeLicense, text(l))
}

func (w *world) acceptOthers() {
	w.ok(Vector{Name: "lease", Op: "lease", Why: "two seats", Doc: w.key.as(license.TypeLease, text(lease()))})
	w.ok(Vector{Name: "lease by a key for leases", Op: "lease", Why: "the key's entry allows this kind", Doc: w.leaseOnly.as(license.TypeLease, text(lease()))})
	w.ok(Vector{Name: "lease recalled", Op: "lease", Why: "the holder is asked to stop by until, and why", Doc: w.key.as(license.TypeLease, text(recalled()))})
	w.ok(Vector{Name: "reply", Op: "reply", Why: "the nonce of the question", Nonce: "n-2", Doc: w.key.as(license.TypeReply, text(reply()))})
	w.ok(Vector{Name: "reply, clock ahead", Op: "reply", Why: "the nonce proves that it is fresh", Now: now + 300*day, Nonce: "n-2",
		Doc: w.key.as(license.TypeReply, text(reply()))})
	doc := w.license()
	w.ok(Vector{Name: "reply covers", Op: "covers", Why: "it speaks of the held document", Nonce: "n-2", Held: doc,
		Doc: w.key.as(license.TypeReply, text(reply(), `"nonce"`, `"document":"`+license.DocumentHash(doc)+`","nonce"`))})
	w.ok(Vector{Name: "revocations", Op: "revocations", Why: "two rights ended early", Doc: w.key.as(license.TypeRevocations, text(revocations()))})
	none := revocations()
	none.Revoked = nil
	w.ok(Vector{Name: "revocations none", Op: "revocations", Why: "nothing was revoked", Doc: w.key.as(license.TypeRevocations, text(none))})
	w.ok(Vector{Name: "override", Op: "override", Why: "approved by two", Doc: w.key.as(license.TypeOverride, text(override()))})
	w.ok(Vector{Name: "bulletin", Op: "bulletin", Why: "for a plan", Doc: w.key.as(license.TypeBulletin, text(bulletin()))})
	for n := 1; n <= license.MaxChain; n++ {
		chain, edge := w.chain(n)
		name := "edge_" + string(rune('0'+n))
		w.ok(Vector{Name: "edge chain of " + name[5:], Op: "edge", Why: "each within its parent", Chain: chain})
		w.ok(Vector{Name: "lease of " + name, Op: "lease_chain", Why: "within the edge's units and dates", Chain: chain,
			Doc: edge.as(license.TypeLease, text(edgeLease(name)))})
		w.ok(Vector{Name: "reply of " + name, Op: "reply_chain", Why: "the edge answers", Chain: chain, Nonce: "n-2",
			Doc: edge.as(license.TypeReply, text(edgeReply(name)))})
	}
	widest := cert(w.edge1, "edge_1", 0)
	widest.Expires = widest.NotBefore + license.MaxEdgeLife
	w.ok(Vector{Name: "edge of 30 days", Op: "edge", Why: "the longest certificate", Chain: []string{w.key.as(license.TypeEdge, text(widest))}})
	all := edgeLease("edge_1")
	all.Units, all.Expires = 10, cert(w.edge1, "edge_1", 0).Expires-2*license.Epsilon
	all.Degraded = all.Expires
	chain, edge := w.chain(1)
	w.ok(Vector{Name: "lease of all units to the last second", Op: "lease_chain", Why: "exactly the certificate's units, exp and 2ε",
		Chain: chain, Doc: edge.as(license.TypeLease, text(all))})
}

func (w *world) acceptSets() {
	w.ok(Vector{Name: "root set pinned", Op: "pinned", Why: "two of three sign", Trust: "pinned"})
	w.ok(Vector{Name: "key set two of three", Op: "keyset", Why: "any two root keys", Trust: "pinned", List: signAll(license.TypeKeySet, w.keySet(1), w.root2, w.root3)})
	w.ok(Vector{Name: "key set three of three", Op: "keyset", Why: "more than needed", List: signAll(license.TypeKeySet, w.keySet(3), w.root1, w.root2, w.root3)})
	w.ok(Vector{Name: "key set with a stranger's signature", Op: "keyset", Why: "signatures of other roots don't count and don't harm",
		List: signAll(license.TypeKeySet, w.keySet(3), w.root4, w.root2, w.root3)})
	w.ok(Vector{Name: "key set again", Op: "keyset", Why: "the one in force", List: w.trust["main"].KeySet})
	named := w.small(3)
	named.Root = 1
	w.ok(Vector{Name: "key set names its root set", Op: "keyset", Why: "the one in force", List: signAll(license.TypeKeySet, named, w.root1, w.root2)})
	w.ok(Vector{Name: "key set jumps", Op: "keyset", Why: "numbers may be left out", List: signAll(license.TypeKeySet, w.small(99), w.root1, w.root2)})
	w.ok(Vector{Name: "key set expired", Op: "keyset", Why: "taken, but no new document under it", Trust: "pinned", List: w.trust["expired"].KeySet})
	w.ok(Vector{Name: "root set next", Op: "rootset", Why: "old and new threshold", List: w.rotation()})
	w.ok(Vector{Name: "root set again", Op: "rootset", Why: "the one in force", Trust: "rotated", List: w.rotation()})
	w.ok(Vector{Name: "key set of the next root", Op: "keyset", Why: "signed by the new keys", Trust: "rotated",
		List: signAll(license.TypeKeySet, w.keySet(3), w.root3, w.root4)})
	third := w.secondRootSet()
	third.Number, third.K = 7, 1
	third.Keys = third.Keys[:1]
	w.ok(Vector{Name: "root set lowers its threshold", Op: "rootset", Why: "two of the old agree", Trust: "rotated",
		List: signAll(license.TypeRootSet, third, w.root2, w.root3)})
}

func (w *world) acceptReplacements() {
	held := w.license()
	w.ok(Vector{Name: "license replaces counter", Op: "license_replace", Why: "a higher counter", Held: held, Doc: w.license(`"seq":[1,7]`, `"seq":[1,8]`)})
	w.ok(Vector{Name: "license replaces epoch", Op: "license_replace", Why: "a higher epoch", Held: held, Doc: w.license(`"seq":[1,7]`, `"seq":[2,0]`)})
	w.ok(Vector{Name: "license replaces itself", Op: "license_replace", Why: "the same document", Held: held, Doc: held})
	one := func(edits ...string) string { return w.key.as(license.TypeLease, text(lease(), edits...)) }
	w.ok(Vector{Name: "lease replaces", Op: "lease_replace", Why: "renewed", Held: one(), Doc: one(`"seq":[1,7]`, `"seq":[1,8]`)})
	w.ok(Vector{Name: "lease replaces, recalled", Op: "lease_replace", Why: "a recall shortens what the holder has", Held: one(),
		Doc: w.key.as(license.TypeLease, text(recalled()))})
	chain, edge := w.chain(1)
	again := edge.as(license.TypeLease, text(edgeLease("edge_1"), `"incarnation":1`, `"incarnation":0`))
	w.ok(Vector{Name: "lease replaces incarnation", Op: "lease_replace", Why: "the edge was set up anew; its counter starts again", Held: again, Chain: chain,
		Doc: edge.as(license.TypeLease, text(edgeLease("edge_1"), `"seq":[1,7]`, `"seq":[0,1]`))})
	list := func(edits ...string) string {
		return w.key.as(license.TypeRevocations, text(revocations(), edits...))
	}
	w.ok(Vector{Name: "revocations replace", Op: "revocations_replace", Why: "a higher counter", Held: list(), Doc: list(`"exp":1800518400`, `"exp":1800518401`, `"seq":[1,7]`, `"seq":[1,8]`)})
}

func (w *world) bundle() license.Bundle {
	return license.Bundle{V: 1, Doc: w.license(), KeySet: w.trust["main"].KeySet}
}

func bytesOf(b license.Bundle) []byte {
	raw, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return raw
}

func (w *world) acceptFiles() {
	b := w.bundle()
	w.ok(Vector{Name: "file", Op: "file", Why: "document and key set", Trust: "pinned", Data: bytesOf(b)})
	w.ok(Vector{Name: "file older than trust", Op: "file", Why: "its key set is passed over, the one in force verifies", Trust: "main",
		Data: bytesOf(license.Bundle{V: 1, Doc: b.Doc, KeySet: signAll(license.TypeKeySet, w.small(1), w.root1, w.root2)})})
	w.ok(Vector{Name: "file with root set", Op: "file", Why: "a newer root set comes along", Trust: "pinned",
		Data: bytesOf(license.Bundle{V: 1, Doc: b.Doc, RootSet: w.rotation(), KeySet: signAll(license.TypeKeySet, w.keySet(3), w.root3, w.root4)})})
	w.ok(Vector{Name: "file with an older root set", Op: "file", Why: "passed over", Trust: "rotated",
		Data: bytesOf(license.Bundle{V: 1, Doc: b.Doc, RootSet: signAll(license.TypeRootSet, w.rootSet(1), w.root1, w.root2, w.root3),
			KeySet: signAll(license.TypeKeySet, w.keySet(3), w.root3, w.root4)})})
	late := license.Bundle{V: 1, Doc: w.key.as(license.TypeLicense, text(exported())), KeySet: w.brief(2)}
	last := exported().Degraded - 1
	w.ok(Vector{Name: "file in its last second, key set expired", Op: "file", Why: "a file is accepted until its own last date, by a program that never saw the server too",
		Trust: "pinned", Now: last, Data: bytesOf(late)})
	w.ok(Vector{Name: "file in its last second, a later key set expired too", Op: "file", Why: "the remembered key set counts by the document's iat as well",
		Trust: "remembered", Now: last, Data: bytesOf(late)})
	w.ok(Vector{Name: "file under the floor", Op: "file", Why: "the file's key set is the one that is built in", Trust: "floor", Data: bytesOf(b)})
	w.ok(Vector{Name: "file newer than the floor", Op: "file", Why: "its key set has a higher number", Trust: "floor",
		Data: bytesOf(license.Bundle{V: 1, Doc: b.Doc, KeySet: w.brief(3)})})
	w.ok(Vector{Name: "floor after a rotation", Op: "keyset", Why: "a higher number, signed by the new keys", Trust: "floor-rotated",
		List: signAll(license.TypeKeySet, w.keySet(3), w.root3, w.root4)})
	near := w.keySet(2)
	near.Expires = now + 60
	one, first := w.chain(1)
	w.ok(Vector{Name: "file of an edge, key set expired", Op: "file", Why: "the first certificate's iat counts", Trust: "pinned", Now: now + 120,
		Data: bytesOf(license.Bundle{V: 1, Doc: first.as(license.TypeLease, text(edgeLease("edge_1"))), Chain: one, KeySet: signAll(license.TypeKeySet, near, w.root1, w.root3)})})
	chain, edge := w.chain(2)
	w.ok(Vector{Name: "file of an edge", Op: "file", Why: "lease, chain and key set", Trust: "pinned",
		Data: bytesOf(license.Bundle{V: 1, Doc: edge.as(license.TypeLease, text(edgeLease("edge_2"))), Chain: chain, KeySet: b.KeySet})})
	armoured := license.Armor(bytesOf(b))
	w.ok(Vector{Name: "file in armour", Op: "file", Why: "for mail", Trust: "pinned", Data: armoured})
	mail := "Dear customer,\r\n\r\n> " + strings.ReplaceAll(string(armoured), "\n", " \r\n> ") + "\r\n-- \r\nthe vendor\r\n"
	w.ok(Vector{Name: "file in quoted mail", Op: "file", Why: "text around, quote marks and line ends don't matter", Trust: "pinned", Data: []byte(mail)})
	w.ok(Vector{Name: "file at its longest", Op: "bundle", Why: "1 MiB, white space included", Data: bytesOf(b), Pad: license.MaxBundle - len(bytesOf(b))})
}

func (w *world) acceptText() {
	w.ok(Vector{Name: "json depth 16", Op: "json", Why: "the deepest", Data: []byte(strings.Repeat(`[`, 8) + strings.Repeat(`{"a":`, 8) + "1" + strings.Repeat(`}`, 8) + strings.Repeat(`]`, 8))})
	w.ok(Vector{Name: "json numbers", Op: "json", Why: "the largest and smallest, and zero", Data: []byte(`[9007199254740991,-9007199254740991,0,-1]`)})
	w.ok(Vector{Name: "json scalar", Op: "json", Why: "any value", Data: []byte(` "text" `)})
	w.ok(Vector{Name: "json empty", Op: "json", Why: "empty list and object", Data: []byte(`[[],{}, true ,false]`)})
	w.ok(Vector{Name: "json at its longest", Op: "json", Why: "64 KiB", Data: []byte(`{}`), Pad: license.MaxDocument - 2})
	w.ok(Vector{Name: "json name at its longest", Op: "json", Why: "128 characters", Data: []byte(`{"` + strings.Repeat("n", 128) + `":1,"!~":2}`)})
	raw, _ := base64.StdEncoding.DecodeString("77u/")
	w.ok(Vector{Name: "json byte order mark in a text", Op: "json", Why: "it is a character like others there", Data: []byte(`"` + string(raw) + `"`)})
	w.ok(Vector{Name: "key", Op: "key", Why: "an entry of a key set", Data: []byte(text(w.key.Key))})
}
