package api

import (
	"errors"
	"slices"
	"strings"
)

// wholeNumbers returns JSON with whole numbers that were written with a point, as 1.0,
// without it: some languages know only one kind of number. Any other fraction or power of
// ten is an error. What is not JSON stays so.
func wholeNumbers(data []byte) ([]byte, error) {
	var fixed []byte
	kept := 0 // how much of data is in fixed
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
				return nil, errors.New(`numbers are whole: write decimals as a string, as "1.5"`)
			}
			i = end - 1
		}
	}
	if fixed == nil {
		return data, nil
	}
	return slices.Concat(fixed, data[kept:]), nil
}
