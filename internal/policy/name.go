package policy

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"copyhold.dev/internal/licensing"
)

// CheckDisplay refuses names that are not fit for display: those with characters that PRECIS (RFC 8264)
// excludes from free text, such as control characters, marks that change the direction of
// text, and joiners in scripts that do not need them. Field names the part of the request in
// the error. CheckDisplay accepts an empty name.
func CheckDisplay(field, name string) error {
	if name == "" {
		return nil
	}
	_, err := precis.OpaqueString.String(name)
	if err != nil || strings.ContainsRune(name, utf8.RuneError) { // a byte that is not UTF-8, too
		return licensing.Errorf(licensing.Invalid, "%s has a character that is not allowed in names (RFC 8264): a control character, an invisible mark, or U+FFFD (the replacement character)", field).At(field)
	}
	return nil
}
