package license

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzVerify checks that everything the verifier accepts was signed, byte for byte.
func FuzzVerify(f *testing.F) {
	v := readVectors(f)
	w, err := v.verifier(v.trust["main"], false, 1_800_000_000)
	if err != nil {
		f.Fatal(err)
	}
	signed := map[string]bool{}
	for _, one := range v.accepted {
		if one.Op == "license" && one.Trust == "main" {
			signed[one.Doc] = true
			f.Add(one.Doc)
		}
	}
	for i, one := range v.refused {
		if one.Op == "license" && one.Trust == "main" {
			signed[one.Doc] = true // most refused ones are signed, too, but not valid at that vector's time
			if i%8 == 0 && len(one.Doc) < 4096 {
				f.Add(one.Doc)
			}
		}
	}
	f.Fuzz(func(t *testing.T, compact string) {
		if l, err := w.License(compact, 1_800_000_000); err == nil && !signed[compact] {
			t.Errorf("nobody signed %q: %+v", compact, l)
		}
		_, _ = Peek(compact)
	})
}

// FuzzUnmarshal compares strict JSON with encoding/json: everything that strict JSON accepts is
// accepted there and means the same.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,-2,{"b":true}]}`, `"é\ud83d\ude00\n"`, `{"iss":"x","seq":[1,2],"cnf":{"need":1}}`,
		`{"features":{"a":{"value":5,"until":6},"b":{"value":"t"}}}`, `{"a":1,"A":1}`, `[[[]]]`, `1e3`, `nul`, `"\u12`, `{"iat":9007199254740992}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkJSON(data) == nil && !json.Valid(data) {
			t.Fatalf("not JSON: %q", data)
		}
		var strict, loose License
		if Unmarshal(data, &strict) != nil {
			return
		}
		if err := json.Unmarshal(data, &loose); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if again, err := json.Marshal(strict); err == nil && exactNames(data) {
			other, err := json.Marshal(loose)
			if err != nil || !bytes.Equal(again, other) {
				t.Fatalf("%q: %s, elsewhere %s", data, again, other)
			}
		}
	})
}

// exactNames reports whether every member of the outermost object has the exact spelling of a known
// name. Encoding/json also accepts other cases, which we ignore.
func exactNames(data []byte) bool {
	return !bytes.ContainsFunc(data, func(r rune) bool { return 'A' <= r && r <= 'Z' || r == '\\' || r > '~' })
}

// FuzzBundle checks that a license file that was read is written again unchanged.
func FuzzBundle(f *testing.F) {
	b := Bundle{V: 1, Doc: "a.b.c", Chain: []string{"d"}, KeySet: []string{"e"}, RootSet: []string{"f"}}
	raw, err := EncodeBundle(b)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(Armor(raw))
	f.Add([]byte(`{"v":1,"doc":"x","keyset":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBundle(data)
		if err != nil {
			return
		}
		raw, err := EncodeBundle(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBundle(Armor(raw))
		if err != nil || again.Doc != b.Doc || len(again.KeySet) != len(b.KeySet) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

// FuzzArmor checks that armor survives any mail.
func FuzzArmor(f *testing.F) {
	f.Add([]byte("license"), "Hello\n")
	f.Add([]byte{}, "> ")
	f.Add(bytes.Repeat([]byte{0xff}, 300), "\r\n\r\n")
	f.Fuzz(func(t *testing.T, data []byte, around string) {
		_, _ = Dearmor([]byte(around))
		if bytes.Contains([]byte(around), []byte("COPYHOLD")) || len(data)+len(around) > MaxBundle/4 {
			return
		}
		text := append([]byte(around+"\n"), Armor(data)...)
		back, err := Dearmor(append(text, around...))
		if err != nil || !reflect.DeepEqual(append([]byte{}, back...), append([]byte{}, data...)) {
			t.Fatalf("%q, %v", back, err)
		}
	})
}
