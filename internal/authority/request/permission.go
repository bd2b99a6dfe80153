package request

import (
	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// Require refuses a principal without the permission. The API checks permissions before it calls.
// Require checks again here, so that no other caller of this package can omit the check.
func Require(p access.Principal, permission access.Permission) error {
	return p.Require(permission)
}

// NotFound is the answer for an item that does not exist and for one that the caller may not see.
// The two answers must be identical.
func NotFound(noun string, id any) error {
	return licensing.Errorf(licensing.NotFound, "%s %v does not exist", noun, id)
}

// UnlessNotFound returns err, or nil if err is a NotFound error.
func UnlessNotFound(err error) error {
	if licensing.CodeOf(err) == licensing.NotFound {
		return nil
	}
	return err
}
