package main

import (
	"strings"

	"copyhold.dev/sdk/license"
)

func (w *world) no(reason string, v Vector) {
	v.Error = reason
	if v.Trust == "" {
		v.Trust = "main"
	}
	if v.Now == 0 {
		v.Now = now
	}
	w.refused = append(w.refused, v)
}

// noLicense adds a refused license: the minimal one with one piece replaced, properly signed.
func (w *world) noLicense(reason, name, why string, edits ...string) {
	w.no(reason, Vector{Name: "license: " + name, Op: "license", Why: why, Doc: w.license(edits...)})
}

func (w *world) refuse() {
	w.refuseForms()
	w.refuseHeaders()
	w.refuseKinds()
	w.refuseFlips()
	w.refuseJSON()
	w.refuseClaims()
	w.refuseLicenses()
	w.refuseOthers()
	w.refuseTimes()
	w.refuseKeys()
	w.refuseSets()
	w.refuseRoots()
	w.refuseChains()
	w.refuseReplacements()
	w.refuseFiles()
}

func (w *world) refuseForms() {
	doc := w.license()
	part := strings.Split(doc, ".")
	form := func(reason, name, why, doc string) {
		w.no(reason, Vector{Name: "form: " + name, Op: "license", Why: why, Doc: doc})
	}
	form("Format", "empty", "no document at all", "")
	form("Format", "no dot", "one part", part[0])
	form("Format", "one dot", "two parts", part[0]+"."+part[1])
	form("Signature", "no signature", "the third part is empty", part[0]+"."+part[1]+".")
	form("Signature", "four parts", "the signature is over three", doc+"."+part[2])
	form("Encoding", "four parts, signed", "the payload has a dot in it", w.key.raw(part[0], part[1]+"."+part[1]))
	form("Format", "too long", "more than any document", part[0]+"."+part[1]+"."+strings.Repeat("A", 100_000))
	form("Encoding", "signature padded", "base64url without padding", doc+"==")
	form("Encoding", "signature with loose bits", "the same bytes in another text", doc[:len(doc)-1]+next64(doc[len(doc)-1]))
	form("Encoding", "signature with line break", "which base64 decoders like to skip", doc[:len(doc)-4]+"\n"+doc[len(doc)-4:])
	form("Encoding", "signature in another alphabet", "base64 instead of base64url", part[0]+"."+part[1]+"."+strings.Repeat("+/", 43))
	form("Signature", "signature short", "63 bytes", part[0]+"."+part[1]+"."+strings.Repeat("A", 84))
	form("Signature", "signature long", "65 bytes", part[0]+"."+part[1]+"."+strings.Repeat("A", 87))
	form("Signature", "signature zero", "64 zero bytes", part[0]+"."+part[1]+"."+strings.Repeat("A", 86))
	form("Signature", "signature with S + L", "the other solution of the equation (malleability)", w.malleable(doc))
	form("Encoding", "payload padded", "signed that way", w.key.raw(part[0], part[1]+"="))
	form("Encoding", "payload with line break", "signed that way", w.key.raw(part[0], part[1][:8]+"\n"+part[1][8:]))
	form("Encoding", "payload with carriage return", "signed that way", w.key.raw(part[0], part[1]+"\r"))
	form("Encoding", "payload with loose bits", "signed that way", w.key.raw(part[0], b64(`{"a":1}`)[:9]+"R"))
	form("Encoding", "header padded", "another text of the same header", part[0]+"=."+part[1]+"."+part[2])
	form("Encoding", "header with line break", "another text of the same header", "\n"+doc)
	form("Signature", "payload of another document", "a valid signature elsewhere", part[0]+"."+b64(text(full()))+"."+part[2])
	form("Signature", "signed by a stranger under our kid", "the private key is another", impostor(w.stranger, w.key).as(license.TypeLicense, text(minimal())))
}

func (w *world) refuseHeaders() {
	head := w.key.header(license.TypeLicense)
	payload := text(minimal())
	try := func(reason, name, why, header string) {
		w.no(reason, Vector{Name: "header: " + name, Op: "license", Why: why, Doc: w.key.jws(header, payload)})
	}
	with := func(member string) string { return strings.TrimSuffix(head, "}") + "," + member + "}" }
	swap := func(from, to string) string { return strings.Replace(head, from, to, 1) }
	kid := w.key.Kid
	w.no("Header", Vector{Name: "header: alg none", Op: "license", Why: "nothing signed it", Doc: b64(swap("EdDSA", "none")) + "." + b64(payload) + "."})
	try("Header", "alg none, signed", "none stays none", swap("EdDSA", "none"))
	try("Header", "alg None", "by another case", swap("EdDSA", "None"))
	w.no("Header", Vector{Name: "header: alg HS256 with the public key", Op: "license", Why: "a MAC keyed with what everybody knows", Doc: w.hs256(swap("EdDSA", "HS256"), payload)})
	try("Header", "alg RS256", "no such algorithm here", swap("EdDSA", "RS256"))
	try("Header", "alg ES256", "no such algorithm here", swap("EdDSA", "ES256"))
	try("UnknownKey", "alg Ed25519 for a key of EdDSA", "the key's entry decides", swap("EdDSA", "Ed25519"))
	try("Header", "alg eddsa", "names are exact", swap("EdDSA", "eddsa"))
	try("Header", "alg missing", "all three members are needed", `{"kid":"`+kid+`","typ":"copyhold-license+jwt"}`)
	try("Header", "alg a list", "not a text", swap(`"EdDSA"`, `["EdDSA"]`))
	try("Header", "kid missing", "which key?", `{"alg":"EdDSA","typ":"copyhold-license+jwt"}`)
	try("UnknownKey", "kid short", "the full thumbprint only", swap(kid, kid[:16]))
	try("UnknownKey", "kid a path", "names are not followed", swap(kid, "../../etc/passwd"))
	try("UnknownKey", "kid of nobody", "a key that is in no set", swap(kid, w.stranger.Kid))
	try("Header", "typ missing", "typ is mandatory", `{"alg":"EdDSA","kid":"`+kid+`"}`)
	try("Type", "typ JWT", "every kind has its own", swap("copyhold-license+jwt", "JWT"))
	try("Type", "typ with application/", "no other spelling", swap("copyhold-license+jwt", "application/copyhold-license+jwt"))
	try("Type", "typ in capitals", "no other spelling", swap("copyhold-license+jwt", "COPYHOLD-LICENSE+JWT"))
	try("Header", "jwk", "a key from inside the document", with(`"jwk":{"kty":"OKP","crv":"Ed25519","x":"`+w.stranger.X+`"}`))
	w.no("Header", Vector{Name: "header: jwk of a stranger who signed", Op: "license", Why: "a key from inside the document",
		Doc: w.stranger.jws(with(`"jwk":{"kty":"OKP","crv":"Ed25519","x":"`+w.stranger.X+`"}`), payload)})
	w.no("UnknownKey", Vector{Name: "header: kid of a stranger who signed", Op: "license", Why: "a key that nobody vouches for",
		Doc: w.stranger.as(license.TypeLicense, payload)})
	try("Header", "jku", "nothing is fetched", with(`"jku":"https://example.com/jwks.json"`))
	try("Header", "x5u", "nothing is fetched", with(`"x5u":"https://example.com/x.pem"`))
	try("Header", "x5c", "no certificates", with(`"x5c":["AAAA"]`))
	try("Header", "crit", "no extensions", with(`"crit":["exp"],"exp":1`))
	try("Header", "crit empty", "no extensions", with(`"crit":[]`))
	try("Header", "b64 false", "no extensions (RFC 7797)", with(`"b64":false,"crit":["b64"]`))
	try("Header", "zip", "no compression", with(`"zip":"DEF"`))
	try("Header", "cty", "nothing nested", with(`"cty":"JWT"`))
	try("Header", "alg twice", "no member twice", with(`"alg":"EdDSA"`))
	try("Header", "order", "one order of members", `{"kid":"`+kid+`","alg":"EdDSA","typ":"copyhold-license+jwt"}`)
	try("Header", "spaces", "no spaces", strings.ReplaceAll(head, ",", ", "))
	try("Header", "escaped", "no other text of the same header", swap("EdDSA", `Ed\u0044SA`))
	try("Header", "data after the end", "nothing follows", head+" ")
	try("Header", "not JSON", "bytes", "EdDSA")
	try("Header", "empty", "nothing", "")
}

// refuseKinds passes each kind of document to the verifier of another kind, and signs it with a key
// that may not sign it.
func (w *world) refuseKinds() {
	kinds := []struct {
		op  string
		typ license.Type
		doc string
	}{
		{"license", license.TypeLicense, text(minimal())}, {"lease", license.TypeLease, text(lease())},
		{"reply", license.TypeReply, text(reply())}, {"revocations", license.TypeRevocations, text(revocations())},
		{"override", license.TypeOverride, text(override())}, {"bulletin", license.TypeBulletin, text(bulletin())},
	}
	for i, k := range kinds {
		other := kinds[(i+1)%len(kinds)]
		w.no("Type", Vector{Name: "kind: " + other.op + " as " + k.op, Op: k.op, Why: "swapped kinds", Nonce: "n-2", Doc: w.key.as(other.typ, other.doc)})
		if k.typ != license.TypeLease {
			w.no("UnknownKey", Vector{Name: "kind: " + k.op + " by a key for leases", Op: k.op, Why: "the key's entry does not allow this kind", Nonce: "n-2",
				Doc: w.leaseOnly.as(k.typ, k.doc)})
		}
	}
	w.no("Format", Vector{Name: "kind: lease under the header of a license", Op: "license", Why: "a lease says no status", Doc: w.key.as(license.TypeLicense, text(lease()))})
	w.no("Type", Vector{Name: "kind: license as edge certificate", Op: "edge", Why: "swapped kinds", Chain: []string{w.license()}})
	w.no("UnknownKey", Vector{Name: "kind: license by an edge", Op: "license", Why: "an edge signs leases and replies under its chain", Doc: w.edge1.as(license.TypeLicense, text(minimal()))})
	w.no("UnknownKey", Vector{Name: "kind: license by a root key", Op: "license", Why: "root keys sign sets", Doc: w.root1.as(license.TypeLicense, text(minimal()))})
	w.no("UnknownKey", Vector{Name: "kind: license without a key set", Op: "license", Why: "nothing vouches for any key", Trust: "pinned", Doc: w.license()})
	w.no("Threshold", Vector{Name: "kind: key set by a signing key", Op: "keyset", Why: "only root keys sign sets", List: signAll(license.TypeKeySet, w.keySet(3), w.key, w.modern)})
	w.no("Type", Vector{Name: "kind: root set as key set", Op: "keyset", Why: "swapped kinds", List: w.rotation()})
	w.no("Type", Vector{Name: "kind: key set as root set", Op: "rootset", Why: "swapped kinds", List: signAll(license.TypeKeySet, w.keySet(3), w.root1, w.root2)})
}

// refuseFlips flips twenty single bits.
func (w *world) refuseFlips() {
	doc := []byte(w.license())
	dot := strings.IndexByte(string(doc), '.')
	last := strings.LastIndexByte(string(doc), '.')
	for i := range 20 {
		at := dot + 1 + (last-dot-1)*i/14
		reason := "Signature"
		if i >= 14 {
			at = last + 1 + (len(doc)-last-2)*(i-14)/6
		}
		flipped := append([]byte(nil), doc...)
		flipped[at] = next64(flipped[at])[0]
		w.no(reason, Vector{Name: "flipped " + string(rune('a'+i)), Op: "license", Why: "one character differs", Doc: string(flipped), Flipped: true})
	}
}
