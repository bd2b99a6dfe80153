package api

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestAWholeNumberMayHaveAPoint(t *testing.T) {
	for sent, want := range map[string]string{
		`{"units":1.0}`: `{"units":1}`, `[-3.000, 0.0,-0.0,7]`: `[-3, 0,0,7]`, `{"a.0":"1.5","b":[2.0,"\"3.5"]}`: `{"a.0":"1.5","b":[2,"\"3.5"]}`,
		`2.0`: `2`, `"unfinished 1.5`: `"unfinished 1.5`, `{"a":true,"b":12}`: `{"a":true,"b":12}`, "": "", `"\`: `"\`, `01.0`: `01`,
	} {
		got, err := wholeNumbers([]byte(sent))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", sent, got, err, want)
		}
	}
	for _, sent := range []string{`{"units":1.5}`, `1e3`, `[1E-1]`, `0.1`, `-0.5`, `1.`, `1.0e1`, `1.00000000000000000000001`} {
		if got, err := wholeNumbers([]byte(sent)); err == nil {
			t.Errorf("%s: %s", sent, got)
		}
	}
}

// JSON without a fraction means the same afterward.
func TestWholeNumbersChangeNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.Int64())).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := wholeNumbers(want)
		if err != nil || string(got) != string(want) {
			t.Fatalf("%s became %s: %v", want, got, err)
		}
	})
}
