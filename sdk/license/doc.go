// Package license reads and writes Copyhold's signed documents, and determines the state of a
// document at a given time. It is pure: it does no I/O, reads no clock, uses no network, and
// needs only the standard library. It uses randomness only to seal data.
//
// A document is a compact JWS (RFC 7515), signed with Ed25519 (RFC 8037), in a closed profile.
// The verifier builds the only header that a trusted key would have written, and compares it
// byte for byte. It never interprets a header, which rules out "none", other algorithms,
// embedded keys, and extensions. The payload is strict JSON; see [Unmarshal]. Only one function
// verifies signatures, and no code path skips it.
//
// Trust begins with a root set, which is pinned in the program. The keys of the root set sign
// key sets. The keys of the key set in force sign documents, each within its own dates. A
// [Verifier] contains this trust and returns verified documents. [License.Standing] and
// [License.Feature] report what a document grants.
//
//	standing := l.Standing(license.Facts{}, now)
//	feature, decision := l.Feature("export", standing, now)
//
// A license file contains its own key set. It is accepted until its own last date, however
// long ago that key set expired:
//
//	b, err := license.DecodeBundle(data)
//	v, err = v.WithBundle(b, now)
//	l, err := v.Filed().License(b.Doc, now)
//
// # Compatibility
//
// Every later version accepts the documents that this version accepts, within their dates,
// and with the same meaning. New claims may appear. A verifier ignores claims that it does not
// know, unless the claim must lists them. Names of types, claims, codes, and states are never
// reused. The vectors in testdata are the contract for every other language.
package license
