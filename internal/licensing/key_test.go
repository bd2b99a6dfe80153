package licensing

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawKey(t *rapid.T) (KeyID, string) {
	var id [4]byte
	var secret [16]byte
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "id"))
	copy(secret[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "secret"))
	return NewKey(id, secret)
}

func TestKeysAreReadHoweverPeopleTypeThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, key := drawKey(t)
		typed := key
		for _, mistake := range []struct{ of, as string }{{"0", "O"}, {"1", "l"}, {"1", "I"}, {"-", " "}, {"-", ""}} {
			if rapid.Bool().Draw(t, mistake.of+mistake.as) {
				typed = strings.ReplaceAll(typed, mistake.of, mistake.as)
			}
		}
		if rapid.Bool().Draw(t, "lower") {
			typed = strings.ToLower(typed)
		}
		gotID, got, err := ParseKey("  " + typed + "\n")
		if err != nil || got != key || gotID != id {
			t.Fatalf("%q reads as %s of %s, %v; want %s", typed, got, gotID, err, key)
		}
	})
}

func TestKeysHoldEveryBitOfTheirSecret(t *testing.T) {
	seen := map[string]bool{}
	for bit := range 128 {
		var secret [16]byte
		secret[bit/8] = 1 << (bit % 8)
		_, key := NewKey([4]byte{}, secret)
		if seen[key] {
			t.Fatalf("bit %d is lost", bit)
		}
		seen[key] = true
	}
}

func TestOneWrongDigitIsNoticed(t *testing.T) {
	missed := 0
	rapid.Check(t, func(t *rapid.T) {
		_, key := drawKey(t)
		i := rapid.IntRange(len("CH-"), len(key)-1).Draw(t, "place")
		if key[i] == '-' {
			return
		}
		other := strings.ToUpper(string(crockford[rapid.IntRange(0, 31).Draw(t, "digit")]))
		wrong := key[:i] + other + key[i+1:]
		if wrong == key {
			return
		}
		if _, _, err := ParseKey(wrong); err == nil {
			missed++ // one in a million agrees by chance
		}
	})
	if missed > 1 {
		t.Fatalf("%d wrong keys were accepted", missed)
	}
}

func TestAKeyThatIsRefusedIsNotRepeated(t *testing.T) {
	_, key := NewKey([4]byte{1}, [16]byte{2})
	wrong := key[:len(key)-1] + "Z"
	for _, s := range []string{"", "CH-", wrong, key + "0", strings.TrimPrefix(key, "CH-"), strings.Repeat("A", 1000)} {
		_, _, err := ParseKey(s)
		if CodeOf(err) != Invalid {
			t.Errorf("%q is accepted: %v", s, err)
		} else if len(s) > 10 && strings.Contains(err.Error(), s[3:8]) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	_, key := NewKey([4]byte{1, 2, 3, 4}, [16]byte{5})
	f.Add(key)
	f.Add(strings.ToLower(key))
	f.Fuzz(func(t *testing.T, s string) {
		id, key, err := ParseKey(s)
		if err != nil {
			return
		}
		if id2, again, err := ParseKey(key); err != nil || again != key || id2 != id {
			t.Fatalf("%q reads as %s, then as %s, %v", s, key, again, err)
		}
	})
}
