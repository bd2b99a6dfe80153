package licensing

import (
	"strconv"
	"strings"
)

// MaxScale is the maximum number of decimal places of a meter.
const MaxScale = 9

// ParseQuantity reads a decimal such as 12, 0.5 or -3.25 as a whole number of
// 10^-scale units. It is exact: it refuses more decimal places than scale, unless they
// are zeros, and numbers beyond ±MaxQuantity. Exponents are not supported.
func ParseQuantity(s string, scale int) (int64, error) {
	bad := func(why string) (int64, error) {
		return 0, Errorf(Invalid, "quantity %q %s", s, why)
	}
	if scale < 0 || scale > MaxScale {
		return 0, Errorf(Invalid, "scale %d is not between 0 and %d", scale, MaxScale)
	}
	if len(s) > 64 {
		return 0, Errorf(Invalid, "a quantity of %d characters is too long", len(s))
	}
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, point := strings.Cut(digits, ".")
	if whole == "" || point && frac == "" || !allDigits(whole) || !allDigits(frac) {
		return bad("is not a decimal number")
	}
	frac = strings.TrimRight(frac, "0")
	if len(frac) > scale {
		return bad("has more than " + strconv.Itoa(scale) + " decimal places")
	}
	text := whole + frac + strings.Repeat("0", scale-len(frac))
	if negative {
		text = "-" + text
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || magnitude(n) > MaxQuantity {
		return bad("is out of range: the maximum is " + FormatQuantity(MaxQuantity, scale))
	}
	return n, nil
}

// Rescale converts n units of 10^-from to units of 10^-to. It returns false if the result
// is not a whole number or does not fit an int64.
func Rescale(n int64, from, to int) (int64, bool) {
	for ; from < to; from++ {
		var ok bool
		if n, ok = multiply(n, 10); !ok {
			return 0, false
		}
	}
	for ; from > to; from-- {
		if n%10 != 0 {
			return 0, false
		}
		n /= 10
	}
	return n, true
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// FormatQuantity writes n units of 10^-scale so that ParseQuantity reads the
// same number. It omits trailing zeros after the decimal point.
func FormatQuantity(n int64, scale int) string {
	text := strconv.FormatUint(magnitude(n), 10)
	sign := ""
	if n < 0 {
		sign = "-"
	}
	if scale <= 0 {
		return sign + text
	}
	if missing := scale + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	whole, frac := text[:len(text)-scale], strings.TrimRight(text[len(text)-scale:], "0")
	if frac == "" {
		return sign + whole
	}
	return sign + whole + "." + frac
}
