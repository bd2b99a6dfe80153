// Package access says who is asking and what they may do: principals, roles,
// permissions and the format of tokens. It holds data rules only: it reads no
// store and no clock, and it never keeps a secret in plain text. Who is asking
// is looked up by authority; what a role may do stands here and nowhere else.
package access

import "copyhold.dev/internal/licensing"

// A Kind is what a principal proved itself with.
type Kind string

// The kinds of principal.
const (
	KindToken   Kind = "token"   // a person or a system, with a token
	KindLicense Kind = "license" // a program, with a license key
	KindSystem  Kind = "system"  // the server itself, or a command on its own data
)

// AllEnvironments stands in a token in place of an environment: the token
// spans them, and each request names the one it means. It is no environment's name.
const AllEnvironments licensing.Env = "all"

// A Principal is who is asking, in one environment. Its zero value may do
// nothing. It is a value: copies are safe in any goroutine.
type Principal struct {
	Kind     Kind
	Env      licensing.Env
	Spans    bool // the token reaches every environment; Env is the one this request named
	Role     Role
	Token    licensing.TokenID     // kind token: its id
	License  licensing.LicenseID   // kind license: the license whose key was shown
	Key      licensing.KeyID       // kind license: the key that was shown
	Customer licensing.CustomerID  // not empty: only what belongs to this customer
	Product  licensing.ProductName // not empty: only what belongs to this product
	Actor    string                // how the log names it: token:tok_…, license:lic_…, system:NAME
	Answers  Digest                // kind token: derived from its text, seals what is kept of answers to it
	Once     Once                  // the write this request is, when it may be repeated
}

// Once names a write that its caller may repeat: done again with the same name,
// it is not done but answered as before. An empty Key is no name.
type Once struct {
	Route string
	Key   string // the header Idempotency-Key
}

// System returns the principal of the server's own work in env; name says which
// part of it acts.
func System(env licensing.Env, name string) Principal {
	return Principal{Kind: KindSystem, Env: env, Role: Owner, Actor: "system:" + name}
}

// May reports whether p holds permission.
func (p Principal) May(permission Permission) bool { return p.Require(permission) == nil }

// Require returns why p lacks permission, an error of code forbidden, and nil if p
// holds it.
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
		return licensing.Errorf(licensing.Forbidden, "a token that is limited to one customer can't have the permission %s: use one without that limit", permission)
	case p.Product != "" && !permission.WithinProduct():
		return licensing.Errorf(licensing.Forbidden, "a token that is limited to one product can't have the permission %s: use one without that limit", permission)
	}
	return nil
}

// Sees reports whether what belongs to customer and product lies within p's
// scope. What lies outside has to look to p as if it did not exist.
func (p Principal) Sees(customer licensing.CustomerID, product licensing.ProductName) bool {
	return p.SeesCustomer(customer) && p.SeesProduct(product)
}

// SeesCustomer reports whether customer lies within p's scope.
func (p Principal) SeesCustomer(customer licensing.CustomerID) bool {
	return (p.Role != Customer || p.Customer != "") && (p.Customer == "" || p.Customer == customer)
}

// SeesProduct reports whether product lies within p's scope.
func (p Principal) SeesProduct(product licensing.ProductName) bool {
	return p.Product == "" || p.Product == product
}

// In returns p in env, the environment the request named; empty means the one p
// belongs to. Only a principal that spans environments can name another than its own.
func (p Principal) In(env licensing.Env) (Principal, error) {
	switch {
	case p.Env == "" && !p.Spans:
		return Principal{}, licensing.Errorf(licensing.Forbidden,
			"only an owner's token without product and customer spans environments: create a token of one environment instead of this one")
	case env == "" && p.Env == "":
		return Principal{}, licensing.Errorf(licensing.Invalid,
			"the token spans environments: name the one you mean in the header Copyhold-Environment")
	case env == "" || env == p.Env:
		return p, nil
	case !p.Spans:
		return Principal{}, licensing.Errorf(licensing.Forbidden, "the token belongs to another environment")
	}
	p.Env = env
	return p, nil
}
