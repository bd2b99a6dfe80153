package v1

import "copyhold.dev/sdk/license"

// KeySetAnswer is the key set in force.
type KeySetAnswer struct {
	KeySet []string `json:"keyset" doc:"Compact JWS over one payload, one for each root key that signed"`
}

// RootSetAnswer is the root set in force, which programs pin.
type RootSetAnswer struct {
	RootSet []string `json:"rootset" doc:"Compact JWS over one payload, one for each root key that signed"`
}

// RevocationsAnswer is the signed list of revocations.
type RevocationsAnswer struct {
	Revocations string `json:"revocations" doc:"The list, compact JWS"`
	Number      int64  `json:"number" doc:"The list's number, which increases with each revocation"`
}

// JWKSAnswer is a JSON Web Key Set (RFC 7517).
type JWKSAnswer struct {
	Keys []license.Key `json:"keys"`
}
