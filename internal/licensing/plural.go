package licensing

import (
	"strconv"
	"strings"
)

// Counted writes n with a noun: 1 unit, 2 units, 0 entries.
func Counted[N int | int64](n N, noun string) string {
	if n != 1 {
		noun = plural(noun)
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun
}

// measured writes an amount with the unit of a meter. A unit that is a word has a
// plural; a symbol (GB, kWh, min) or a name has none.
func measured(amount, unit string) string {
	if amount != "1" && isWord(unit) {
		unit = plural(unit)
	}
	return amount + " " + unit
}

func isWord(unit string) bool {
	const shortest = 4 // call, page, byte; shorter ones are symbols
	return len(unit) >= shortest && strings.Trim(unit, "abcdefghijklmnopqrstuvwxyz- ") == ""
}

func plural(noun string) string {
	stem, y := strings.CutSuffix(noun, "y")
	switch {
	case y && stem != "" && !strings.ContainsAny(stem[len(stem)-1:], "aeiou"):
		return stem + "ies"
	case strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "x"), strings.HasSuffix(noun, "ch"), strings.HasSuffix(noun, "sh"):
		return noun + "es"
	}
	return noun + "s"
}

// singular returns the singular of a plural such as seats. It returns false for a noun that
// does not look like one: seat, floating, campus.
func singular(noun string) (string, bool) {
	if !isWord(noun) || strings.HasSuffix(noun, "us") || strings.HasSuffix(noun, "is") {
		return "", false
	}
	one := strings.TrimSuffix(noun, "s")
	if stem, ok := strings.CutSuffix(noun, "ies"); ok {
		one = stem + "y"
	} else if stem, ok := strings.CutSuffix(noun, "es"); ok && plural(stem) == noun && !strings.HasSuffix(noun, "ses") {
		one = stem
	}
	return one, plural(one) == noun
}
