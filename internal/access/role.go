package access

import (
	"slices"

	"copyhold.dev/internal/licensing"
)

// A Permission allows one kind of action, written noun:verb.
type Permission string

// Public and LicenseKey are declared by routes for which no role decides: anyone may
// call a public route, and any program with a license key the other kind.
const (
	Public     Permission = "public"
	LicenseKey Permission = "license-key"
)

// The permissions that roles can have.
const (
	EnvironmentRead  Permission = "environment:read"
	EnvironmentWrite Permission = "environment:write"
	ProductRead      Permission = "product:read"
	ProductWrite     Permission = "product:write"
	CustomerRead     Permission = "customer:read"
	CustomerWrite    Permission = "customer:write"
	PlanRead         Permission = "plan:read"
	PlanApply        Permission = "plan:apply"
	LicenseRead      Permission = "license:read"
	LicenseIssue     Permission = "license:issue"
	LicenseChange    Permission = "license:change"
	LicenseExtend    Permission = "license:extend"
	LicenseRenew     Permission = "license:renew"
	LicenseSuspend   Permission = "license:suspend"
	LicenseRevoke    Permission = "license:revoke"
	LicenseTransfer  Permission = "license:transfer"
	LicenseKeyWrite  Permission = "license:key"
	LicenseExport    Permission = "license:export"
	LeaseRead        Permission = "lease:read"
	LeaseFree        Permission = "lease:free"
	UsageRead        Permission = "usage:read"
	JobRead          Permission = "job:read"
	JobCancel        Permission = "job:cancel"
	TokenRead        Permission = "token:read"
	TokenWrite       Permission = "token:write"
	SigningKeyRead   Permission = "signing-key:read"
	SigningKeyWrite  Permission = "signing-key:write"
	RootWrite        Permission = "root:write"
	AuditRead        Permission = "audit:read"
	AuditErase       Permission = "audit:erase"
	AuditFollow      Permission = "audit:follow"
	BackupTake       Permission = "backup:take"
	FenceEnd         Permission = "fence:end"
	StatusRead       Permission = "status:read"
	Explain          Permission = "decision:explain"
)

// A Role is a named set of permissions. A token has exactly one.
type Role string

// The roles.
const (
	Owner    Role = "owner"
	Admin    Role = "admin"
	Issuer   Role = "issuer"
	Operator Role = "operator"
	Viewer   Role = "viewer"
	Auditor  Role = "auditor"
	Customer Role = "customer"
)

// Roles returns the roles, most powerful first.
func Roles() []Role {
	return []Role{Owner, Admin, Issuer, Operator, Viewer, Auditor, Customer}
}

// Permissions returns every permission that a role can have, in reading order.
func Permissions() []Permission {
	return []Permission{
		EnvironmentRead, EnvironmentWrite, ProductRead, ProductWrite, CustomerRead, CustomerWrite,
		PlanRead, PlanApply, LicenseRead, LicenseIssue, LicenseChange, LicenseExtend, LicenseRenew,
		LicenseSuspend, LicenseRevoke, LicenseTransfer, LicenseKeyWrite, LicenseExport, LeaseRead,
		LeaseFree, UsageRead, JobRead, JobCancel, TokenRead, TokenWrite, SigningKeyRead, SigningKeyWrite, RootWrite,
		AuditRead, AuditErase, AuditFollow, BackupTake, FenceEnd, StatusRead, Explain,
	}
}

// ParseRole returns the role named s.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", licensing.Errorf(licensing.Invalid, "role %q does not exist; the roles are %v", s, Roles())
}

// May reports whether r has permission.
func (r Role) May(permission Permission) bool {
	switch r {
	case Owner:
		return slices.Contains(Permissions(), permission)
	case Admin:
		return Owner.May(permission) && !owns(permission)
	case Issuer:
		return reads(permission) || issues(permission)
	case Operator:
		return reads(permission) || permission == AuditRead || permission == AuditFollow || operates(permission)
	case Viewer:
		return reads(permission)
	case Auditor:
		return reads(permission) || permission == AuditRead || permission == AuditFollow || permission == TokenRead
	case Customer:
		return ownSeats(permission)
	}
	return false
}

// WithinProduct reports whether a token that is limited to one product can have
// permission. All other permissions concern the whole environment.
func (p Permission) WithinProduct() bool {
	switch p {
	case EnvironmentRead, EnvironmentWrite, SigningKeyRead, SigningKeyWrite, RootWrite, AuditErase, BackupTake, FenceEnd:
		return false
	}
	return true
}

// WithinCustomer reports whether a token that is limited to one customer can have
// permission. It excludes permissions that concern the whole environment or things that
// all customers of a product share.
func (p Permission) WithinCustomer() bool {
	switch p {
	case ProductRead, ProductWrite, PlanRead, PlanApply:
		return false
	}
	return p.WithinProduct()
}

// TakesCustomer reports whether a token of role r can be limited to one customer. Tokens
// for running a deployment or an environment cannot.
func (r Role) TakesCustomer() bool { return r != Owner && r != Admin }

// MaySpan reports whether a token can span environments. Only an owner's token without a
// product or customer limit can.
func MaySpan(role Role, product licensing.ProductName, customer licensing.CustomerID) bool {
	return role == Owner && product == "" && customer == ""
}

// MayGrant reports whether a token of role r may create a token of role other, which
// must not have more rights.
func (r Role) MayGrant(other Role) bool {
	return r.May(TokenWrite) && !slices.ContainsFunc(Permissions(), func(p Permission) bool {
		return other.May(p) && !r.May(p)
	})
}

// owns reports whether p reaches beyond one environment or allows something irreversible.
func owns(p Permission) bool {
	switch p {
	case EnvironmentWrite, RootWrite, AuditErase, BackupTake:
		return true
	}
	return false
}

func reads(p Permission) bool {
	switch p {
	case EnvironmentRead, ProductRead, CustomerRead, PlanRead, LicenseRead, LeaseRead, UsageRead,
		JobRead, SigningKeyRead, StatusRead, Explain:
		return true
	}
	return false
}

func issues(p Permission) bool {
	switch p {
	case CustomerWrite, LicenseIssue, LicenseChange, LicenseExtend, LicenseRenew, LicenseSuspend,
		LicenseTransfer, LicenseKeyWrite, LicenseExport, JobCancel:
		return true
	}
	return false
}

func operates(p Permission) bool {
	switch p {
	case LicenseExtend, LicenseSuspend, LicenseExport, LeaseFree, JobCancel:
		return true
	}
	return false
}

func ownSeats(p Permission) bool {
	switch p {
	case LicenseRead, LeaseRead, LeaseFree, UsageRead, Explain:
		return true
	}
	return false
}
