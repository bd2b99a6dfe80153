package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"copyhold.dev/sdk/license"
)

func (w *world) noSet(reason, name, why string, edit func(*license.KeySet)) {
	set := w.small(3)
	edit(&set)
	w.no(reason, Vector{Name: "key set: " + name, Op: "keyset", Why: why, List: signAll(license.TypeKeySet, set, w.root1, w.root2)})
}

func (w *world) refuseKeys() {
	first := func(edit func(*license.Key)) func(*license.KeySet) {
		return func(s *license.KeySet) {
			k := s.Keys[0]
			edit(&k)
			s.Keys = []license.Key{k}
		}
	}
	key := func(name, why string, edit func(*license.Key)) { w.noSet("Key", "key "+name, why, first(edit)) }
	key("of another kty", "Ed25519 only", func(k *license.Key) { k.Kty = "EC" })
	key("of another crv", "Ed25519 only", func(k *license.Key) { k.Crv = "X25519" })
	key("of alg none", "EdDSA or Ed25519", func(k *license.Key) { k.Alg = "none" })
	key("of alg HS256", "EdDSA or Ed25519", func(k *license.Key) { k.Alg = "HS256" })
	key("without alg", "EdDSA or Ed25519", func(k *license.Key) { k.Alg = "" })
	key("under another name", "kid is the thumbprint", func(k *license.Key) { k.Kid = w.stranger.Kid })
	key("under a short name", "kid is the full thumbprint", func(k *license.Key) { k.Kid = k.Kid[:20] })
	key("for nothing", "kinds of documents are listed", func(k *license.Key) { k.Use = []license.Type{} })
	key("for key sets", "only root keys sign sets", func(k *license.Key) { k.Use = append(k.Use[:1:1], license.TypeKeySet) })
	key("for root sets", "only root keys sign sets", func(k *license.Key) { k.Use = append(k.Use[:1:1], license.TypeRootSet) })
	key("signing for no time", "sign_from < sign_until", func(k *license.Key) { k.SignUntil = k.SignFrom })
	key("trusted shorter than it signs", "sign_until <= trust_until", func(k *license.Key) { k.TrustUntil = k.SignUntil - 1 })
	w.noSet("Encoding", "key padded", "base64url without padding", first(func(k *license.Key) { k.X += "=" }))
	bytes := func(name, why string, pub []byte) {
		key(name, why, func(k *license.Key) {
			k.X, k.Kid = base64.RawURLEncoding.EncodeToString(pub), license.Thumbprint(pub)
		})
	}
	good, _ := base64.RawURLEncoding.DecodeString(w.key.X)
	bytes("empty", "32 bytes", nil)
	bytes("short", "31 bytes", good[:31])
	bytes("long", "33 bytes", append(append([]byte{}, good...), 0))
	for _, p := range weakPoints() {
		bytes(p.name, p.why, p.y)
		signed := append([]byte{}, p.y...)
		signed[31] |= 0x80
		bytes(p.name+", other sign", p.why, signed)
	}
	w.no("Key", Vector{Name: "key: of low order", Op: "key", Why: "the identity", Data: []byte(text(license.NewKey(append([]byte{1}, make([]byte, 31)...), everything, 1, 2, 3)))})
	w.no("Key", Vector{Name: "key: zero", Op: "key", Why: "32 zero bytes", Data: []byte(text(license.NewKey(make([]byte, 32), everything, 1, 2, 3)))})
	w.no("Key", Vector{Name: "key: short", Op: "key", Why: "31 bytes", Data: []byte(text(license.NewKey(good[:31], everything, 1, 2, 3)))})
}

type point struct {
	name, why string
	y         []byte
}

// weakPoints returns the points of low order, and coordinates that are not reduced.
func weakPoints() []point {
	fill := func(low, mid, high byte) []byte {
		y := make([]byte, 32)
		for i := range y {
			y[i] = mid
		}
		y[0], y[31] = low, high
		return y
	}
	hex8a := []byte{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05}
	hex8b := []byte{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}
	const why = "anybody can sign for it"
	return []point{
		{"of order 1", why, fill(1, 0, 0)}, {"of order 2", why, fill(0xec, 0xff, 0x7f)}, {"of order 4, zero", why, fill(0, 0, 0)},
		{"of order 8", why, hex8a}, {"of order 8, negative", why, hex8b},
		{"not reduced, zero", "a second name of another point", fill(0xed, 0xff, 0x7f)}, {"not reduced, one", "a second name of another point", fill(0xee, 0xff, 0x7f)},
		{"not reduced, largest", "a second name of another point", fill(0xff, 0xff, 0x7f)},
	}
}

func (w *world) refuseSets() {
	list := func(reason, name, why string, l []string) {
		w.no(reason, Vector{Name: "key set: " + name, Op: "keyset", Why: why, List: l})
	}
	three := w.small(3)
	good := signAll(license.TypeKeySet, three, w.root1, w.root2)
	list("Threshold", "no signatures", "an empty list", nil)
	list("Format", "one part", "not compact JWS", []string{"AAAA", good[1]})
	list("Threshold", "one of two signatures", "one root key is not enough", good[:1])
	list("Threshold", "one signature twice", "the same key counts once", []string{good[0], good[0]})
	list("Threshold", "one signature and a stranger's", "the stranger does not count", []string{good[0], w.stranger.as(license.TypeKeySet, text(three))})
	list("Threshold", "strangers only", "a whole foreign root", signAll(license.TypeKeySet, three, w.stranger, w.root4))
	list("Signature", "one signature wrong", "a wrong one is never passed over", []string{good[0], good[1], impostor(w.stranger, w.root3).as(license.TypeKeySet, text(three))})
	list("Signature", "first signature wrong", "a wrong one is never passed over", []string{impostor(w.stranger, w.root3).as(license.TypeKeySet, text(three)), good[0], good[1]})
	list("Format", "payloads differ", "signatures over one payload", []string{good[0], w.root2.as(license.TypeKeySet, text(w.small(4)))})
	list("Format", "payloads differ by a space", "byte for byte", []string{good[0], w.root2.as(license.TypeKeySet, text(three)+" ")})
	list("Format", "two parts", "not compact JWS", []string{strings.Join(strings.Split(good[0], ".")[:2], "."), good[1]})
	list("Format", "too many signatures", "more than sixteen", append(append([]string{}, repeat(good[0], 16)...), good[1]))
	list("Header", "alg none", "in a set neither", []string{good[0], good[1], w.root3.jws(strings.Replace(w.root3.header(license.TypeKeySet), "EdDSA", "none", 1), text(three))})
	list("Format", "data after the end", "strict JSON", []string{w.root1.as(license.TypeKeySet, text(three)+"{}"), w.root2.as(license.TypeKeySet, text(three)+"{}")})
	list("Rollback", "older", "number 1 after 2", signAll(license.TypeKeySet, w.small(1), w.root1, w.root2))
	list("Rollback", "another of the same number", "number 2 after 2", signAll(license.TypeKeySet, w.small(2), w.root1, w.root2))
	w.noSet("Threshold", "of a later root set", "the keys that sign may have been dropped there", func(s *license.KeySet) { s.Root = 2 })
	w.noSet("Format", "number 0", "counted from 1", func(s *license.KeySet) { s.Number = 0 })
	w.no("Format", Vector{Name: "key set: number negative", Op: "keyset", Why: "counted from 1", Trust: "pinned", List: signAll(license.TypeKeySet, w.small(-1), w.root1, w.root2)})
	w.noSet("Format", "no keys", "nothing could be verified", func(s *license.KeySet) { s.Keys = []license.Key{} })
	w.noSet("Format", "key twice", "one entry for each", func(s *license.KeySet) { s.Keys = append(s.Keys, s.Keys[0]) })
	w.noSet("Format", "jti missing", "which set?", func(s *license.KeySet) { s.ID = "" })
	w.noSet("Version", "ver 2", "a later format", func(s *license.KeySet) { s.Version = 2 })
	w.noSet("Must", "must unknown", "a claim that this version does not understand", func(s *license.KeySet) { s.Must = []string{"log_keys"} })
	w.noSet("Issuer", "iss of staging", "another environment", func(s *license.KeySet) { s.Issuer = strings.Replace(issuer, "production", "staging", 1) })
	w.noSet("NotYet", "nbf ahead", "more than 60 s ahead", func(s *license.KeySet) { s.NotBefore = now + 61 })
	w.noSet("KeyDates", "issued before the root keys", "outside the signing window", func(s *license.KeySet) { s.IssuedAt = now - 1001*day })
	w.noSet("KeyDates", "outlives the root keys", "after trust_until", func(s *license.KeySet) { s.Expires = now + 4001*day })
	withdrawn := signAll(license.TypeKeySet, w.small(1), w.root1, w.spent)
	w.no("Withdrawn", Vector{Name: "key set: by a withdrawn root key", Op: "keyset", Why: "its owner lost it", Trust: "root-withdrawn", List: withdrawn})
	w.no("Expired", Vector{Name: "key set: of an expired root set", Op: "keyset", Why: "issued after the root set ended", Trust: "root-expired",
		List: signAll(license.TypeKeySet, w.small(1), w.root1, w.root2)})
	w.no("Threshold", Vector{Name: "key set: by the root before", Op: "keyset", Why: "root 1 went with the rotation", Trust: "rotated",
		List: signAll(license.TypeKeySet, w.small(9), w.root1, w.root2)})
	w.no("UnknownKey", Vector{Name: "key set: goes with its root", Op: "license", Why: "signed by root 1 and 3; root 1 went with the rotation", Trust: "rotated", Doc: w.license()})
}

func (w *world) refuseRoots() {
	next := func(reason, name, why string, edit func(*license.RootSet), by ...signer) {
		set := w.secondRootSet()
		edit(&set)
		if by == nil {
			by = []signer{w.root1, w.root2, w.root4}
		}
		w.no(reason, Vector{Name: "root set: " + name, Op: "rootset", Why: why, List: signAll(license.TypeRootSet, set, by...)})
	}
	same := func(*license.RootSet) {}
	next("Threshold", "by the old keys only", "the new threshold is needed too", func(s *license.RootSet) {
		s.Keys = []license.Key{w.root1.Key, w.root4.Key, w.stranger.setKey()}
	}, w.root1, w.root2)
	next("Threshold", "by the new keys only", "the old threshold is needed too", same, w.root2, w.root4)
	next("Threshold", "by new keys that are not old", "none of the keys in force", same, w.root4)
	next("Threshold", "by one old key", "two of three", same, w.root2)
	next("Threshold", "threshold 0", "nobody's word", func(s *license.RootSet) { s.K = 0 })
	next("Threshold", "threshold negative", "nobody's word", func(s *license.RootSet) { s.K = -1 })
	next("Threshold", "threshold higher than it has keys", "it can't be reached", func(s *license.RootSet) { s.K = 4 })
	next("Rollback", "another of the same number", "number 1 after 1", func(s *license.RootSet) { s.Number = 1 })
	next("Format", "number 0", "counted from 1", func(s *license.RootSet) { s.Number = 0 })
	next("Format", "no keys", "nothing could be verified", func(s *license.RootSet) { s.Keys = []license.Key{} })
	next("Format", "key twice", "one entry for each", func(s *license.RootSet) { s.Keys = append(s.Keys, s.Keys[0]) })
	next("Format", "jti missing", "which set?", func(s *license.RootSet) { s.ID = "" })
	next("Issuer", "iss of staging", "another environment", func(s *license.RootSet) { s.Issuer = strings.Replace(issuer, "production", "staging", 1) })
	next("NotYet", "nbf ahead", "more than 60 s ahead", func(s *license.RootSet) { s.NotBefore = now + 61 })
	next("KeyDates", "outlives its keys", "after trust_until", func(s *license.RootSet) { s.Expires = now + 4001*day })
	next("Key", "key of low order", "anybody can sign for it", func(s *license.RootSet) {
		s.Keys = append(s.Keys, license.NewKey(make([]byte, ed25519.PublicKeySize), setsOnly, now-day, now+day, now+day))
	})
	next("Key", "key for licenses and root sets", "root keys sign sets and nothing else", func(s *license.RootSet) {
		s.Keys[2].Use = []license.Type{license.TypeLicense, license.TypeRootSet}
	})
	next("Key", "key for licenses and key sets", "root keys sign sets and nothing else", func(s *license.RootSet) {
		s.Keys[2].Use = []license.Type{license.TypeKeySet, license.TypeLicense}
	})
	next("Key", "key for licenses too", "root keys sign sets and nothing else", func(s *license.RootSet) {
		s.Keys[2].Use = append([]license.Type{license.TypeLicense}, setsOnly...)
	})
	second := text(w.secondRootSet())
	as := func(payload string, by ...signer) (list []string) {
		for _, s := range by {
			list = append(list, s.as(license.TypeRootSet, payload))
		}
		return list
	}
	set := func(reason, name, why string, list []string) {
		w.no(reason, Vector{Name: "root set: " + name, Op: "rootset", Why: why, List: list})
	}
	set("Signature", "old key's signature wrong", "a wrong one is never passed over", append(as(second, w.root2, w.root4), impostor(w.stranger, w.root1).as(license.TypeRootSet, second)))
	set("Signature", "new key's signature wrong", "a wrong one is never passed over", append(as(second, w.root1, w.root2), impostor(w.stranger, w.root4).as(license.TypeRootSet, second)))
	set("Format", "payloads differ", "signatures over one payload", append(as(second, w.root1, w.root2), as(second+" ", w.root4)...))
	set("Format", "data after the end", "strict JSON", as(second+"{}", w.root1, w.root2, w.root4))
	set("Threshold", "no signatures", "an empty list", nil)
	w.no("Rollback", Vector{Name: "root set: older", Op: "rootset", Why: "number 1 after 2", Trust: "rotated",
		List: signAll(license.TypeRootSet, w.rootSet(1), w.root1, w.root2, w.root3)})
	w.refusePins()
}

func (w *world) refusePins() {
	pin := func(reason, name, why string, t Trust) {
		w.trust["bad: "+name] = t
		w.no(reason, Vector{Name: "pinned: " + name, Op: "pinned", Why: why, Trust: "bad: " + name})
	}
	one := text(w.rootSet(1))
	sign := func(payload string, by ...signer) (list []string) {
		for _, s := range by {
			list = append(list, s.as(license.TypeRootSet, payload))
		}
		return list
	}
	good := sign(one, w.root1, w.root2)
	pin("Issuer", "no issuer given", "a program knows its environment", Trust{Issuer: "", Product: "lathe", Pinned: good})
	pin("Issuer", "another issuer", "a root set of another environment", Trust{Issuer: issuer + "2", Product: "lathe", Pinned: good})
	pin("Audience", "no product given", "a program knows its product", Trust{Issuer: issuer, Pinned: good})
	pin("Threshold", "nothing", "no root, no trust", Trust{Issuer: issuer, Product: "lathe", Pinned: nil})
	pin("Threshold", "one signature", "a root set signs itself", Trust{Issuer: issuer, Product: "lathe", Pinned: good[:1]})
	pin("Threshold", "unsigned by its own", "strangers signed it", Trust{Issuer: issuer, Product: "lathe", Pinned: sign(one, w.stranger, w.root4)})
	pin("Signature", "signature wrong", "a wrong one is never passed over", Trust{Issuer: issuer, Product: "lathe", Pinned: append(good[:2:2], impostor(w.stranger, w.root3).as(license.TypeRootSet, one))})
	pin("Format", "data after the end", "strict JSON", Trust{Issuer: issuer, Product: "lathe", Pinned: sign(one+"{}", w.root1, w.root2)})
	pin("Encoding", "payload padded", "one encoding", Trust{Issuer: issuer, Product: "lathe", Pinned: []string{w.root1.raw(b64(w.root1.header(license.TypeRootSet)), b64(one)+"=")}})
	bad := w.rootSet(1)
	bad.Keys = append(bad.Keys, license.NewKey(make([]byte, ed25519.PublicKeySize), setsOnly, now-day, now+day, now+day))
	pin("Key", "key zero", "anybody can sign for it", Trust{Issuer: issuer, Product: "lathe", Pinned: sign(text(bad), w.root1, w.root2)})
	bad.Keys = bad.Keys[:0:0]
	pin("Format", "no keys", "nothing could be verified", Trust{Issuer: issuer, Product: "lathe", Pinned: sign(text(bad), w.root1, w.root2)})
}

func repeat(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

// setKey returns the signer's key as an entry of a root set.
func (s signer) setKey() license.Key {
	k := s.Key
	k.Use = setsOnly
	return k
}

// impostor signs with its own private key under another signer's name.
func impostor(own, name signer) signer { return signer{name.Key, own.priv} }
