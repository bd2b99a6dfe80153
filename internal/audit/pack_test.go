package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"copyhold.dev/internal/licensing"
)

// leaseRow is a row as an acquire writes it.
const leaseRow = `[{"entry":{"id":"row_01m8qcnahq000002rq72d7acbd/0","env":"production","at":1796081363511636,"type":"lease.begun","version":1,` +
	`"license":"lic_01m8qcn8zy2sn71fcn0kceadaj","product":"lathe","customer":"cus_01m8qcn8zmrspc97fz17rtb9x2","pool":"seats",` +
	`"digest":"CgUmtgiOtnTnjeO8-hAaYjjuLAZ4Wr-nXEa1SAni6Ko"},"salt":"3FeEklnS504iUaeeavn9oQ","payload":{"actor":"license:lic_01m8qcn8zy2sn71fcn0kceadaj",` +
	`"subject":"lse_01m8qcnahq6c7vbn8xdabf3g28","request":"acq-0-0","data":{"holder":"user-0-0@example.com","units":1,"expires":1796085863,"instance":"host-0"}}}]`

// packedLeaseRow is leaseRow in form 1. Databases contain such rows.
const packedLeaseRow = `01a60400c001a22ecaaa370000000b17389a75316d02c4d4d2a3bdecb09803090ac001a22ecaa3fe166a70bd9504d8e5355239cc6c617468653ac001` +
	`a22ecaa3f4c66cc49dff09f1a5a7a23cc20a0526b6088eb674e78de3bcfa101a6238ee2c06785abfa75c46b54809e2e8aa41c1dc57849259d2e74e22` +
	`51a79e6af9fda142c50547c001a22ecaaa37330fb5d51d6a96f1c0484bce6163712d302d304edb757365722d302d30406578616d706c652e636f6d5d` +
	`c4e7b0b8d80664cd686f73742d3057`

func unpacks(t interface{ Fatalf(string, ...any) }, body []byte) []byte {
	packed := Pack(body)
	back, err := Unpack(packed)
	if err != nil || !bytes.Equal(back, body) {
		t.Fatalf("%q became %q, %v", body, back, err)
	}
	return packed
}

// TestPackedRowsKeepTheirBytes checks that unpacking restores exactly the bytes that were hashed:
// of rows with any contents, of pieces of rows in any order, and of any other bytes.
func TestPackedRowsKeepTheirBytes(t *testing.T) {
	for _, body := range []string{
		"", "[", "[]", leaseRow, `"lse_` + strings.Repeat("z", 26) + `"`, `"lse_` + strings.Repeat("8", 26) + `"`, `"lse_7` + strings.Repeat("z", 25) + `"`,
		"_" + strings.Repeat("A", 43), strings.Repeat("_", 43), strings.Repeat("A", 21) + "B", strings.Repeat("F", 64), strings.Repeat("f", 64),
		`,"at":9223372036854775807,"at":9223372036854775808,"at":0123,"at":-12`, strings.Repeat("x", 56), strings.Repeat("x", 57), strings.Repeat("x", 1000),
		`"` + strings.Repeat("x", 128) + `","pool":"` + strings.Repeat("x", 128) + `","pool":"` + strings.Repeat("x", 129) + `","pool":"` + strings.Repeat("x", 129),
	} {
		unpacks(t, []byte(body))
	}
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "seats", "lic_01m8qcn8zy2sn71fcn0kceadaj", "0123456789abcdef", "<é>\"\\"}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		row := NewRow(licensing.NewID("row", time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms")), [10]byte(rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "random"))))
		for range rapid.IntRange(1, 5).Draw(t, "entries") {
			data, err := json.Marshal(rapid.MapOf(text, rapid.OneOf(text.AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny())).Draw(t, "data"))
			if err != nil {
				t.Fatal(err)
			}
			e := licensing.Event{Env: "production", Type: text.Draw(t, "type"), Version: 1, At: time.UnixMicro(rapid.Int64().Draw(t, "at")), License: licensing.LicenseID(text.Draw(t, "license")),
				Product: licensing.ProductName(text.Draw(t, "product")), Pool: text.Draw(t, "pool"), Subject: text.Draw(t, "subject"), Actor: text.Draw(t, "actor"), Data: data}
			if _, err := row.Add(e, Salt(rapid.SliceOfN(rapid.Byte(), SaltSize, SaltSize).Draw(t, "salt"))); err != nil {
				t.Fatal(err)
			}
		}
		unpacks(t, row.Body())
	})
	piece := rapid.OneOf(rapid.SampledFrom(formOnePhrases.text), rapid.SampledFrom(strings.SplitAfter(leaseRow, `"`)), text,
		rapid.StringMatching(`[0-9]{1,20}|[0-9a-f]{64}|[A-Za-z0-9_-]{22}|[A-Za-z0-9_-]{43}|[a-z]{3}_[0-9a-z]{26}`))
	rapid.Check(t, func(t *rapid.T) {
		unpacks(t, []byte(strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "")))
	})
	rapid.Check(t, func(t *rapid.T) {
		unpacks(t, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	})
}

// TestPackedRowsAreSmall checks a row that has one entry, where compression has nothing to repeat,
// and a row of an import.
func TestPackedRowsAreSmall(t *testing.T) {
	if n := len(Pack([]byte(leaseRow))); n > 200 {
		t.Errorf("a lease: %d bytes of %d", n, len(leaseRow))
	}
	one := strings.TrimSuffix(strings.TrimPrefix(leaseRow, "["), "]")
	if n := len(Pack([]byte("[" + strings.Repeat(one+",", 199) + one + "]"))); n > 200*80 {
		t.Errorf("200 entries that differ in nothing: %d bytes", n)
	}
}

// TestFormOneNeverChanges checks that rows in existing databases can still be read.
func TestFormOneNeverChanges(t *testing.T) {
	packed, err := hex.DecodeString(packedLeaseRow)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Unpack(packed); err != nil || string(back) != leaseRow {
		t.Errorf("%s, %v", back, err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(formOnePhrases.text, "\n")))); got != "6e463b1a391d44bc27467ccf846f8c41b9429746d97486a275de617bd99db60f" {
		t.Errorf("the phrases have changed: %s. Add a form instead", got)
	}
	for n, p := range formOnePhrases.text {
		if n >= packedID || len(p) < minPhrase || len(p) > maxGrowth {
			t.Errorf("phrase %d: %q", n, p)
		}
	}
}

// TestADamagedPackedRowIsRefused checks that damage is reported and that no row, whatever it
// contains, takes more memory than maxGrowth bytes for each of its own.
func TestADamagedPackedRowIsRefused(t *testing.T) {
	packed := Pack([]byte(leaseRow))
	size := func(n uint64, ops ...byte) []byte { return append(binary.AppendUvarint([]byte{formOne}, n), ops...) }
	long := append(size(60, packedShort+55), bytes.Repeat([]byte("x"), 56)...)
	for range 100_000 {
		long = append(long, packedSame, 1)
	}
	for name, stored := range map[string][]byte{
		"no length": {formOne}, "half a length": {formOne, 0x80}, "another form": {2, 0}, "too long": append(size(3), packed[2:]...),
		"a length that is too large for the row": size(1<<30, packedShort, 'a'), "more than the length": long,
		"an unknown operation": size(1, 199), "too few bytes": size(16, packedShort+3, 'a'), "a text longer than the row": size(9, packedText, 9, 'a'),
		"the value before the first": size(5, packedSame, 1), "no value": append(size(60, packedShort+3), 'a', 'b', 'c', 'd', packedSame, 0),
		"half an id": size(26, packedID, 1, 2), "half a salt": size(22, packedSalt, 1), "half a hash": size(43, packedHash), "half a digest": size(64, packedHex, 3),
		"no number": size(3, packedInt), "too large a number": size(20, packedInt, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if back, err := Unpack(stored); err == nil {
			t.Errorf("%s: %q", name, back)
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
			t.Errorf("%s: %d bytes of memory", name, after.TotalAlloc-before.TotalAlloc)
		}
		if _, err := ReadRow(stored); err == nil || !strings.Contains(err.Error(), "packed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := 1; n < len(packed); n++ {
		if back, err := Unpack(packed[:n]); err == nil {
			t.Errorf("the first %d bytes: %q", n, back)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{packedSame, packedText, packedShort + 55, 1})))
		stored := append([]byte{formOne}, ops.Draw(t, "row")...)
		if back, err := Unpack(stored); err == nil && len(back) > len(stored)*maxGrowth {
			t.Fatalf("%d bytes became %d", len(stored), len(back))
		}
	})
}

// TestErasingKeepsTheFormOfARow checks rows in both forms.
func TestErasingKeepsTheFormOfARow(t *testing.T) {
	for _, stored := range [][]byte{[]byte(leaseRow), Pack([]byte(leaseRow))} {
		erased, err := Erase(stored, 0)
		if err != nil || IsPacked(erased) != IsPacked(stored) {
			t.Fatalf("%q, %v", erased, err)
		}
		if entries, err := ReadRow(erased); err != nil || len(entries) != 1 || !entries[0].Erased() || !strings.Contains(leaseRow, string(entries[0].Leaf)) {
			t.Errorf("%v, %v", entries, err)
		}
	}
}

// TestQuarantinedRowsHaveOneHashInBothForms checks that the hash in a log entry identifies a row
// whatever its form.
func TestQuarantinedRowsHaveOneHashInBothForms(t *testing.T) {
	plain := RawRow{ID: "row_1", Body: []byte(leaseRow), Leaves: make([]byte, 32)}
	packed := RawRow{ID: "row_1", Body: Pack([]byte(leaseRow)), Leaves: make([]byte, 32)}
	if HashRows([]RawRow{plain}) != HashRows([]RawRow{packed}) {
		t.Error("the hashes differ")
	}
}

func BenchmarkPack(b *testing.B) {
	body := []byte(leaseRow)
	packed := Pack(body)
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			Pack(body)
		}
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			if _, err := Unpack(packed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
