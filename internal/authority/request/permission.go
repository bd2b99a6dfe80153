package request

import (
	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// Require refuses a principal without permission. The API asks before it calls;
// this is asked again here, so that no other face can forget.
func Require(p access.Principal, permission access.Permission) error {
	return p.Require(permission)
}

// NotFound is the answer for what does not exist and for what the caller may
// not see: they have to be the same.
func NotFound(noun string, id any) error {
	return licensing.Errorf(licensing.NotFound, "there is no %s %v", noun, id)
}

// UnlessNotFound returns err, and nil if it says that there is no such thing.
func UnlessNotFound(err error) error {
	if licensing.CodeOf(err) == licensing.NotFound {
		return nil
	}
	return err
}
