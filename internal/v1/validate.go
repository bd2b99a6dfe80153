package v1

import "copyhold.dev/sdk/license"

// HolderBody is who holds, or would.
type HolderBody struct {
	Kind       string            `json:"kind" doc:"machine, user, workload or another kind the plan names"`
	ID         string            `json:"id" doc:"The same each time this holder asks"`
	Name       string            `json:"name,omitempty" maxLength:"200" doc:"What people recognize the holder by in lists, such as a host name; it decides nothing"`
	Components map[string]string `json:"components,omitempty" doc:"Of a machine: names to salted SHA-256 hashes, hexadecimal"`
}

// ValidateBody is what a program tells of itself.
type ValidateBody struct {
	Product   string     `json:"product" doc:"The program's product"`
	Nonce     string     `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	Holder    HolderBody `json:"holder,omitzero" doc:"Where the program runs"`
	DeviceKey string     `json:"device_key,omitempty" doc:"X25519 public key, base64url: keys of features are wrapped for it"`
	Released  int64      `json:"released,omitempty" doc:"When the build was released, Unix seconds; held against the end of maintenance"`
	Features  []string   `json:"features,omitempty" doc:"Features that each have to be in force"`
	CallerBody
}

// ValidateAnswer is what the license allows. Believe the signed parts.
type ValidateAnswer struct {
	Decision    license.Decision `json:"decision"`
	License     string           `json:"license,omitempty" doc:"The license document, compact JWS; none when nothing is left of the license"`
	Reply       string           `json:"reply,omitempty" doc:"The decision and the document's hash, signed for the nonce, compact JWS"`
	KeySet      int64            `json:"keyset" doc:"Number of the key set in force: fetch it when it is higher than yours"`
	Revocations int64            `json:"revocations" doc:"Number of the list of revocations: fetch it when it is higher than yours"`
}
