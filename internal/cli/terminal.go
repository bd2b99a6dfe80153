package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// legible makes characters visible that could control a terminal or deceive its reader:
// control characters except newlines and tabs, and marks that change the text direction.
// Such characters can be in customers' names and servers' answers. Only the colors that tint
// and dim write are kept.
func legible(text string) string {
	if !strings.ContainsFunc(text, misleads) {
		return text
	}
	colors := regexp.MustCompile("\x1b\\[(?:0|2|3[123])m").FindAllStringIndex(text, -1)
	var shown strings.Builder
	for i, r := range text {
		if len(colors) > 0 && i >= colors[0][1] {
			colors = colors[1:]
		}
		if misleads(r) && (len(colors) == 0 || i != colors[0][0]) {
			shown.WriteString(visible(r))
		} else {
			shown.WriteRune(r)
		}
	}
	return shown.String()
}

// oneLine is like legible, for a table cell, which is one line without colors.
func oneLine(text string) string {
	breaks := func(r rune) bool { return unicode.IsControl(r) || misleads(r) }
	if !strings.ContainsFunc(text, breaks) {
		return text
	}
	var shown strings.Builder
	for _, r := range text {
		if breaks(r) {
			shown.WriteString(visible(r))
		} else {
			shown.WriteRune(r)
		}
	}
	return shown.String()
}

// misleads reports whether r controls a terminal or makes text look like other text.
func misleads(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' ||
		r >= '\u2028' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// visible returns r in Go's escaped form: \x1b, \u202e.
func visible(r rune) string {
	quoted := strconv.QuoteRuneToASCII(r)
	return quoted[1 : len(quoted)-1]
}

// width returns how many terminal columns text takes: two for each East Asian character, none
// for combining marks.
func width(text string) int {
	columns := 0
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= '\uff01' && r <= '\uff60', r >= '\u3000' && r <= '\u303f':
			columns += 2
		default:
			columns++
		}
	}
	return columns
}

// sayf writes a line about the command's work to standard error.
func (c *cli) sayf(format string, args ...any) {
	fmt.Fprint(c.program.Stderr, legible(fmt.Sprintf(format, args...))+"\n")
}
