package licensing

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestAnImportFileIsReadAsSpreadsheetsWriteIt(t *testing.T) {
	want := []ImportRow{
		{2, map[string]string{"key": "OLD-1", "customer": "ref:C7", "plan": "studio", "reference": "a, \"b\""}},
		{5, map[string]string{"key": "OLD-2", "customer": "ref:Ü", "plan": "team", "reference": ""}},
	}
	for name, text := range map[string]string{
		"commas":        "key,customer,plan,reference\nOLD-1,ref:C7,studio,\"a, \"\"b\"\"\"\n\n,,,\n OLD-2 ,ref:Ü,team,\n",
		"semicolons":    "Key; Customer;PLAN;reference\r\nOLD-1;ref:C7;studio;\"a, \"\"b\"\"\"\r\n\r\n;;;\r\nOLD-2;ref:Ü;team;;;\r\n",
		"a mark":        "\ufeffkey;customer;plan;reference\nOLD-1;ref:C7;studio;\"a, \"\"b\"\"\"\n \n; ;;\nOLD-2;ref:Ü;team;\n",
		"another order": "plan,reference,key,customer\nstudio,\"a, \"\"b\"\"\",OLD-1,ref:C7\n\n,,,\nteam,,OLD-2,ref:Ü",
	} {
		rows, faults, err := ReadImport(text)
		if err != nil || len(faults) > 0 || !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: %+v %+v %v", name, rows, faults, err)
		}
	}
}

// Every faulty row has its own reason and hides no other.
func TestEachFaultyRowHasItsOwnReason(t *testing.T) {
	rows, faults, err := ReadImport(strings.Join([]string{
		"key,customer,plan,reference",
		"OLD-1,ref:C7,studio,r1",
		"OLD-2,ref:C7",
		"OLD-3,ref:C7,studio,r3,and,more",
		"OLD-4,ref:\"C7\",studio,r4",
		"OLD-5,ref:C7,studio,r\u200b5",
		"OLD-1,ref:C7,studio,r6",
		"OLD-7,ref:C7,studio,r1",
		"OLD-8,ref:C7,studio,\"two\nlines\"",
		"OLD-9,ref:C7,studio,r9",
		"OLD-10,ref:C7,studio,\"r10",
		"OLD-11,ref:C7,studio,r11",
	}, "\n"))
	if err != nil || len(rows) != 2 || rows[0].Line != 2 || rows[1].Fields["key"] != "OLD-9" || rows[1].Line != 11 {
		t.Errorf("%+v %v", rows, err)
	}
	want := []string{"3 2 fields", "4 6 fields", "5 not CSV", "6 reference contains U+200B", "7 key is already used in line 2", "8 reference is already used in line 2", "9 reference contains U+000A", "12 not CSV"}
	for n, w := range want {
		line, reason, _ := strings.Cut(w, " ")
		if n >= len(faults) || fmt.Sprint(faults[n].Line) != line || !strings.Contains(faults[n].Err.Error(), reason) || CodeOf(faults[n].Err) != Invalid {
			t.Fatalf("%s is not fault %d: %v", w, n, faults)
		}
	}
	if len(faults) != len(want) {
		t.Errorf("%v", faults)
	}
	for _, header := range []string{"", "key,customer\n", "key,customer,plan,colour\n", "key,key,customer,plan\n", "\"key"} {
		if rows, _, err := ReadImport(header); CodeOf(err) != Invalid || rows != nil {
			t.Errorf("%q: %v", header, err)
		}
	}
}

// What is written for a part is read as the same rows, each on its line.
func TestAHundredThousandRowsAreReadAndWritten(t *testing.T) {
	var text strings.Builder
	text.WriteString("key;customer;plan;reference\n")
	for n := range 100_000 {
		fmt.Fprintf(&text, "OLD-KEY-%d;ref:Müller, \"C%d\";studio;\n;;;\n", n, n%7)
	}
	lazy := strings.ReplaceAll(strings.ReplaceAll(text.String(), `"C`, `C`), `";s`, `;s`)
	rows, faults, err := ReadImport(lazy)
	if err != nil || len(faults) > 0 || len(rows) != 100_000 || rows[99_999].Line != 2+2*99_999 {
		t.Fatalf("%d rows, %d faults, %v", len(rows), len(faults), err)
	}
	part, err := WriteImport(rows)
	if err != nil {
		t.Fatal(err)
	}
	again, faults, err := ReadImport(part)
	if err != nil || len(faults) > 0 || len(again) != len(rows) {
		t.Fatalf("%d rows, %d faults, %v", len(again), len(faults), err)
	}
	for n := range again {
		if again[n].Line != n+2 || !reflect.DeepEqual(again[n].Fields, rows[n].Fields) {
			t.Fatalf("row %d: %+v in place of %+v", n, again[n], rows[n])
		}
	}
}
