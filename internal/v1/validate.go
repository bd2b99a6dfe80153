package v1

import "copyhold.dev/sdk/license"

// HolderBody is a current or possible holder.
type HolderBody struct {
	Kind       string            `json:"kind" doc:"machine, user, workload or another kind that the plan names"`
	ID         string            `json:"id" doc:"The holder's id, the same in every request"`
	Name       string            `json:"name,omitempty" maxLength:"200" doc:"A name by which people recognize the holder in lists, such as a host name. It does not affect decisions"`
	Components map[string]string `json:"components,omitempty" doc:"The components of a machine: names with salted SHA-256 hashes, hexadecimal"`
}

// ValidateBody is what a program reports about itself.
type ValidateBody struct {
	Product   string     `json:"product" doc:"The program's product"`
	Nonce     string     `json:"nonce,omitempty" doc:"8 to 128 random characters, for a signed reply"`
	Holder    HolderBody `json:"holder,omitzero" doc:"The machine, user or workload that runs the program"`
	DeviceKey string     `json:"device_key,omitempty" doc:"X25519 public key, base64url. Keys of features are wrapped for it"`
	Released  int64      `json:"released,omitempty" doc:"When the build was released, Unix seconds; compared with the end of maintenance"`
	Features  []string   `json:"features,omitempty" doc:"Features that must all be in force"`
	CallerBody
}

// ValidateAnswer is what the license allows. Trust only the signed parts.
type ValidateAnswer struct {
	Decision    license.Decision `json:"decision"`
	License     string           `json:"license,omitempty" doc:"The license document, compact JWS; absent if the license grants nothing anymore"`
	Reply       string           `json:"reply,omitempty" doc:"The decision and the document's hash, signed with the nonce, compact JWS"`
	KeySet      int64            `json:"keyset" doc:"The number of the key set in force; fetch the set if this number is higher than yours"`
	Revocations int64            `json:"revocations" doc:"The number of the list of revocations; fetch the list if this number is higher than yours"`
}
