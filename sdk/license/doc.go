// Package license reads and writes Copyhold's signed documents, and says where
// a document stands at a given time. It is pure: no I/O, no clock, no network,
// and nothing beyond the standard library. Randomness is drawn only to seal.
//
// A document is a compact JWS (RFC 7515), signed with Ed25519 (RFC 8037), in a
// closed profile. The header is compared with the one that a trusted key would
// have written, byte for byte, and never interpreted; so "none", another
// algorithm, an embedded key or an extension cannot occur. The payload is strict
// JSON, see [Unmarshal]. There is one place where signatures are verified, and
// nothing that skips it.
//
// Trust begins with a root set, pinned in the program. Its keys sign key sets,
// and the keys of the key set in force sign documents, each within its dates. A
// [Verifier] holds that state and hands out documents; [License.Standing] and
// [License.Feature] say what they grant.
//
//	v, err := license.NewVerifier(issuer, "lathe", pinned)
//	v, err = v.WithKeySet(keyset, now)
//	l, err := v.License(compact, now)
//	standing := l.Standing(license.Facts{}, now)
//	feature, decision := l.Feature("export", standing, now)
//
// A license file brings its key set along, and is accepted until its own last
// date, however long ago that key set expired:
//
//	b, err := license.DecodeBundle(data)
//	v, err = v.WithBundle(b, now)
//	l, err := v.Filed().License(b.Doc, now)
//
// # Compatibility
//
// Documents that this version accepts are accepted by every later version
// within their dates, and mean the same. New claims may appear; a verifier
// ignores those that it does not know, unless the claim must lists them. Names of
// types, claims, codes and states are never reused. The vectors in testdata are
// the contract for every other language.
package license
