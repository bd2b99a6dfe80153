package api

import (
	"errors"
	"slices"
	"strings"
)

// wholeNumbers returns JSON in which whole numbers written with a decimal point, such as 1.0,
// are written without it, because some languages have only one kind of number. Any other fraction
// or exponent is an error. Invalid JSON stays invalid.
func wholeNumbers(data []byte) ([]byte, error) {
	var fixed []byte
	kept := 0 // bytes of data that are in fixed
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(data) && strings.IndexByte("0123456789+-.eE", data[end]) >= 0 {
				end++
			}
			whole, zeros, point := strings.Cut(string(data[i:end]), ".")
			switch {
			case point && zeros != "" && strings.Trim(zeros, "0") == "" && !strings.ContainsAny(whole, "eE"):
				if whole == "-0" {
					whole = "0"
				}
				fixed = append(append(fixed, data[kept:i]...), whole...)
				kept = end
			case point || strings.ContainsAny(whole, "eE"):
				return nil, errors.New(`numbers must be whole; write decimals as strings, for example "1.5"`)
			}
			i = end - 1
		}
	}
	if fixed == nil {
		return data, nil
	}
	return slices.Concat(fixed, data[kept:]), nil
}
