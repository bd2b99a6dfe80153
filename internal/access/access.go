// Package access defines callers and their rights: principals, roles, permissions and
// the format of tokens. It contains data rules only: it reads no
// store and no clock, and it never keeps a secret in plain text. Package authority
// looks up the caller of a request. The rights of a role are defined only here.
package access

import "copyhold.dev/internal/licensing"

// A Kind is the kind of credential of a principal.
type Kind string

// The kinds of principal.
const (
	KindToken   Kind = "token"   // a person or a system, with a token
	KindLicense Kind = "license" // a program, with a license key
	KindSystem  Kind = "system"  // the server itself, or a command on its own data
)

// AllEnvironments is used in a token in place of an environment. Such a token spans the
// environments, and each request names one. No environment can have this name.
const AllEnvironments licensing.Env = "all"

// A Principal is the caller of a request, in one environment. Its zero value has no
// rights. It is a value, so copies are safe in any goroutine.
type Principal struct {
	Kind     Kind
	Env      licensing.Env
	Spans    bool // the token is valid in every environment; Env is the one that this request named
	Role     Role
	Token    licensing.TokenID     // kind token: its id
	License  licensing.LicenseID   // kind license: the license of the key in the request
	Key      licensing.KeyID       // kind license: the key in the request
	Customer licensing.CustomerID  // not empty: limited to this customer
	Product  licensing.ProductName // not empty: limited to this product
	Actor    string                // its name in the log: token:tok_…, license:lic_…, system:NAME
	Answers  Digest                // kind token: derived from its text, seals stored answers to its requests
	Once     Once                  // identifies a write that may be repeated
}

// Once identifies a write that its caller may repeat. If it is repeated with the same key,
// it is not done again but gets the same answer. An empty Key means that there is none.
type Once struct {
	Route string
	Key   string // the header Idempotency-Key
}

// System returns the principal for the server's own work in env; name is the part of
// the server that acts.
func System(env licensing.Env, name string) Principal {
	return Principal{Kind: KindSystem, Env: env, Role: Owner, Actor: "system:" + name}
}

// May reports whether p has permission.
func (p Principal) May(permission Permission) bool { return p.Require(permission) == nil }

// Require returns an error with code forbidden that explains why p lacks permission, or
// nil if p has it.
func (p Principal) Require(permission Permission) error {
	switch {
	case permission == Public || permission == LicenseKey && p.Kind == KindLicense:
		return nil
	case permission == LicenseKey:
		return licensing.Errorf(licensing.Forbidden, "this operation is for programs: use Authorization: License KEY")
	case p.Kind == KindLicense || p.Kind == "":
		return licensing.Errorf(licensing.Forbidden, "this operation is for people and systems: use Authorization: Bearer TOKEN")
	case !p.Role.May(permission):
		return licensing.Errorf(licensing.Forbidden, "the token's role lacks the permission %s", permission)
	case p.Customer != "" && !permission.WithinCustomer():
		return licensing.Errorf(licensing.Forbidden, "a token that is limited to one customer cannot have the permission %s; use a token without that limit", permission)
	case p.Product != "" && !permission.WithinProduct():
		return licensing.Errorf(licensing.Forbidden, "a token that is limited to one product cannot have the permission %s; use a token without that limit", permission)
	}
	return nil
}

// Sees reports whether things of customer and product are within p's scope. Things
// outside that scope must look to p as if they did not exist.
func (p Principal) Sees(customer licensing.CustomerID, product licensing.ProductName) bool {
	return p.SeesCustomer(customer) && p.SeesProduct(product)
}

// SeesCustomer reports whether customer is within p's scope.
func (p Principal) SeesCustomer(customer licensing.CustomerID) bool {
	return (p.Role != Customer || p.Customer != "") && (p.Customer == "" || p.Customer == customer)
}

// SeesProduct reports whether product is within p's scope.
func (p Principal) SeesProduct(product licensing.ProductName) bool {
	return p.Product == "" || p.Product == product
}

// In returns p in env, the environment that the request named. Empty means p's own.
// Only a principal that spans environments can name another one.
func (p Principal) In(env licensing.Env) (Principal, error) {
	switch {
	case p.Env == "" && !p.Spans:
		return Principal{}, licensing.Errorf(licensing.Forbidden,
			"only an owner's token without a product or customer limit can span environments; create a token for one environment instead")
	case env == "" && p.Env == "":
		return Principal{}, licensing.Errorf(licensing.Invalid,
			"the token spans environments; name one in the Copyhold-Environment header")
	case env == "" || env == p.Env:
		return p, nil
	case !p.Spans:
		return Principal{}, licensing.Errorf(licensing.Forbidden, "the token belongs to another environment")
	}
	p.Env = env
	return p, nil
}
