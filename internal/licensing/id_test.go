package licensing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDsOfOnePrefixSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ra, rb [10]byte
		copy(ra[:], rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "ra"))
		copy(rb[:], rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "rb"))
		a := time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "a"))
		b := a.Add(time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "later")) * time.Millisecond)
		x, y := NewID(LeasePrefix, a, ra), NewID(LeasePrefix, b, rb)
		if x >= y {
			t.Fatalf("%s of %v is not before %s of %v", x, a, y, b)
		}
		if len(x) != len("lse_")+26 || !strings.HasPrefix(x, "lse_") || strings.Trim(x[4:], crockford) != "" {
			t.Fatalf("%q is not lse_ and 26 Crockford digits", x)
		}
	})
}

func TestIDIsTheULIDOfItsTimeAndBytes(t *testing.T) {
	got := NewID("lic", time.UnixMilli(1469922850259), [10]byte{})
	// The time part is that of the ULID specification's example.
	if got != "lic_01arz3ndek0000000000000000" {
		t.Fatalf("got %s", got)
	}
}

func TestNamesAreLowerCaseWordsJoinedOnce(t *testing.T) {
	for _, ok := range []string{"a", "lathe", "max_layers", "render-farm2", "a.b.c", strings.Repeat("a", 64)} {
		if err := CheckName("pool", ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "A", "1a", "a-", "-a", "a--b", "a b", "ä", strings.Repeat("a", 65)} {
		if CodeOf(CheckName("pool", bad)) != Invalid {
			t.Errorf("%q is accepted as a name", bad)
		}
	}
}

func TestErrorsKeepTheirCodeAndCauseWhenWrapped(t *testing.T) {
	cause := errors.New("disk")
	err := fmt.Errorf("acquiring: %w", Errorf(Unavailable, "writing: %w", cause).At("pool"))
	if CodeOf(err) != Unavailable || !errors.Is(err, cause) {
		t.Fatalf("code %s, cause kept: %v", CodeOf(err), errors.Is(err, cause))
	}
	if CodeOf(cause) != Internal || CodeOf(nil) != "" {
		t.Fatal("a foreign error is internal, and none has no code")
	}
}
