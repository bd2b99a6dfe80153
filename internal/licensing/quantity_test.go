package licensing

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestQuantitiesAreExact(t *testing.T) {
	for _, c := range []struct {
		text  string
		scale int
		want  int64
	}{
		{"12", 0, 12}, {"0.5", 1, 5}, {"0.50", 1, 5}, {"-3.25", 2, -325}, {"007", 0, 7},
		{"-9007199.254740991", 9, -MaxQuantity}, {"9007199254740991", 0, MaxQuantity}, {"1.000000000", 0, 1},
	} {
		got, err := ParseQuantity(c.text, c.scale)
		if err != nil || got != c.want {
			t.Errorf("%s at scale %d is %d, %v; want %d", c.text, c.scale, got, err, c.want)
		}
	}
}

func TestQuantitiesThatCannotBeCountedAreRefused(t *testing.T) {
	for _, c := range []struct {
		text  string
		scale int
	}{
		{"", 0}, {".5", 1}, {"5.", 1}, {"1e3", 0}, {"+1", 0}, {"0x1", 0}, {"1_0", 0}, {" 1", 0}, {"--1", 0},
		{"0.05", 1}, {"9007199254740992", 0}, {"-9007199.254740992", 9}, {"9223372036854775808", 0}, {"10000000000", 9}, {"1", 10}, {"1", -1}, {strings.Repeat("0", 65), 0},
	} {
		if n, err := ParseQuantity(c.text, c.scale); CodeOf(err) != Invalid {
			t.Errorf("%q at scale %d is read as %d", c.text, c.scale, n)
		}
	}
}

func TestQuantitiesAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, scale := rapid.Int64Range(-MaxQuantity, MaxQuantity).Draw(t, "n"), rapid.IntRange(0, MaxScale).Draw(t, "scale")
		s := FormatQuantity(n, scale)
		if got, err := ParseQuantity(s, scale); err != nil || got != n {
			t.Fatalf("%d at scale %d is written %s and read %d, %v", n, scale, s, got, err)
		}
	})
}

func TestSumsThatOverflowAreRefusedAndOthersExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, a, k := rapid.Int64().Draw(t, "n"), rapid.Int64().Draw(t, "a"), rapid.Int64Range(0, 1<<33).Draw(t, "k")
		want := new(big.Int).Mul(big.NewInt(a), big.NewInt(k))
		fitsProduct := want.IsInt64()
		want.Add(want, big.NewInt(n))
		got, err := addTimes(n, a, k)
		counts := new(big.Int).Abs(want).Cmp(big.NewInt(MaxQuantity)) <= 0
		if fits := fitsProduct && counts; fits != (err == nil) || fits && got != want.Int64() {
			t.Fatalf("%d + %d*%d = %d, %v; want %v", n, a, k, got, err, want)
		}
	})
}

func FuzzParseQuantity(f *testing.F) {
	f.Add("12.5", 2)
	f.Add("-0", 0)
	f.Fuzz(func(t *testing.T, s string, scale int) {
		n, err := ParseQuantity(s, scale)
		if err != nil {
			return
		}
		if again, err := ParseQuantity(FormatQuantity(n, scale), scale); err != nil || again != n {
			t.Fatalf("%q at scale %d reads as %d, then as %d, %v", s, scale, n, again, err)
		}
	})
}
