package policy

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"copyhold.dev/internal/licensing"
)

// CheckDisplay refuses what can't be a name that people read: what PRECIS (RFC 8264)
// excludes from free text, such as control characters, marks that turn the direction of
// reading, and joiners where no script needs them. Field names the part of the request in
// the error. An empty name is no business of this rule.
func CheckDisplay(field, name string) error {
	if name == "" {
		return nil
	}
	_, err := precis.OpaqueString.String(name)
	if err != nil || strings.ContainsRune(name, utf8.RuneError) { // a byte that is not UTF-8, too
		return licensing.Errorf(licensing.Invalid, "%s has a character that a name can't have (RFC 8264): a control character, a mark that nobody sees, or U+FFFD, which stands for a lost one", field).At(field)
	}
	return nil
}
