package client

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"copyhold.dev/sdk/license"
)

func TestWhatIsUnavailableIsAskedElsewhere(t *testing.T) {
	t.Parallel()
	denial := &Problem{Status: 409, Code: "conflict", Decision: &license.Decision{Outcome: license.Denied}}
	away, unknown, overload := &Problem{Code: CodeUnavailable, Detail: "away"}, &Problem{Code: CodeUnknown}, &Problem{Status: 503, Code: "internal"}
	for name, tc := range map[string]struct {
		answers map[string]error
		asked   string // of two requests, one after the other
		code    string // of the second
	}{
		"the first answers":            {nil, "a a", ""},
		"the first is away":            {map[string]error{"a": away}, "a b b", ""},
		"two are":                      {map[string]error{"a": overload, "b": unknown}, "a b c c", ""},
		"a denial is an answer":        {map[string]error{"a": denial}, "a a", "conflict"},
		"a refusal is an answer":       {map[string]error{"a": &Problem{Status: 404, Code: "not_found"}}, "a a", "not_found"},
		"all are away":                 {map[string]error{"a": away, "b": away, "c": away}, "a b c a b c", CodeUnavailable},
		"one may have done it, or not": {map[string]error{"a": away, "b": unknown, "c": away}, "a b c a b c", CodeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := At("a", "b", "c")
			var asked []string
			var err error
			for range 2 {
				_, err = anywhere(t.Context(), e, func(base string) (string, error) {
					asked = append(asked, base)
					return base, tc.answers[base]
				})
			}
			code := ""
			if p, ok := AsProblem(err); ok {
				code = p.Code
			}
			if got := strings.Join(asked, " "); got != tc.asked || code != tc.code {
				t.Errorf("asked %s, not %s: %v", got, tc.asked, err)
			}
		})
	}
	_, err := anywhere(t.Context(), At("a", "b"), func(string) (int, error) { return 0, away })
	if p, _ := AsProblem(err); p == nil || KindOf(p) != Unavailable || !strings.Contains(p.Detail, "a: away") || !strings.Contains(p.Detail, "b: away") {
		t.Errorf("the error does not list each server's failure: %v", err)
	}
}

func TestEndpointsAreReadFromAList(t *testing.T) {
	t.Parallel()
	e, err := parseEndpoints(Setting[string]{Value: "http://a:1/, https://b/licenses"})
	if err != nil || !slices.Equal(e.urls, []string{"http://a:1", "https://b/licenses"}) {
		t.Errorf("%v, %v", e, err)
	}
	for _, wrong := range []string{"http://a,", "a:1,http://b", "http://a,ftp://b"} {
		var bad *Error
		if _, err := parseEndpoints(Setting[string]{Value: wrong, Source: "--url"}); !errors.As(err, &bad) || bad.Kind != Usage {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
