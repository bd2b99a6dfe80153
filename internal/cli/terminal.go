package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// legible returns text with what could drive or deceive a terminal made visible:
// control characters but ends of lines and tabs, and marks that turn the direction
// of reading. Names come from customers and answers from servers; only the colours
// that tint and dim write pass.
func legible(text string) string {
	if !strings.ContainsFunc(text, misleads) {
		return text
	}
	colours := regexp.MustCompile("\x1b\\[(?:0|2|3[123])m").FindAllStringIndex(text, -1)
	var shown strings.Builder
	for i, r := range text {
		if len(colours) > 0 && i >= colours[0][1] {
			colours = colours[1:]
		}
		if misleads(r) && (len(colours) == 0 || i != colours[0][0]) {
			shown.WriteString(visible(r))
		} else {
			shown.WriteRune(r)
		}
	}
	return shown.String()
}

// oneLine is legible for a cell of a table, which is one line without colours.
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

// misleads reports whether r drives a terminal, or makes text look like another.
func misleads(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' ||
		r >= '\u2028' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// visible writes r as Go would: \x1b, \u202e.
func visible(r rune) string {
	quoted := strconv.QuoteRuneToASCII(r)
	return quoted[1 : len(quoted)-1]
}

// width is how many columns of a terminal text takes: two for each letter of East
// Asia, none for marks that stand on another.
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

// sayf writes a line about the command's work, beside its output.
func (c *cli) sayf(format string, args ...any) {
	fmt.Fprint(c.program.Stderr, legible(fmt.Sprintf(format, args...))+"\n")
}
