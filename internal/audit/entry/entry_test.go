package entry

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden file")

// TestPayloadsAreFrozen compares every member of every payload with a golden file. If it
// fails, an earlier entry would have another meaning, or new entries have more members:
// see the package comment.
func TestPayloadsAreFrozen(t *testing.T) {
	all := map[string][]any{}
	for _, kind := range Types() {
		payloads, _ := Of(kind)
		for _, p := range payloads {
			fill(reflect.ValueOf(p).Elem())
		}
		all[kind] = payloads
	}
	text, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	const golden = "testdata/payloads.json"
	if *update {
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("the payloads are not those of %s; run the test with -update and read the difference:\n%s", golden, text)
	}
}

// TestEveryPayloadComesBack decodes every filled payload strictly and finds it unchanged.
func TestEveryPayloadComesBack(t *testing.T) {
	for _, kind := range Types() {
		payloads, _ := Of(kind)
		again, _ := Of(kind)
		for i, p := range payloads {
			fill(reflect.ValueOf(p).Elem())
			text, err := json.Marshal(p)
			if err == nil {
				d := json.NewDecoder(bytes.NewReader(text))
				d.DisallowUnknownFields()
				err = d.Decode(again[i])
			}
			if err != nil {
				t.Errorf("%s: %v in %s", kind, err, text)
			}
			if back, err := json.Marshal(again[i]); err != nil || !bytes.Equal(back, text) {
				t.Errorf("%s: %s comes back as %s, %v", kind, text, back, err)
			}
		}
	}
	if _, known := Of("nothing.happened"); known {
		t.Error("nothing.happened is a type of event")
	}
}

// TestEveryTypeOfEventHasItsPayload compares the types in package licensing with the payloads.
func TestEveryTypeOfEventHasItsPayload(t *testing.T) {
	text, err := os.ReadFile("../../licensing/event.go")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, m := range regexp.MustCompile(`(?m)^\t[A-Z]\w+ += "([a-z_.]+)"`).FindAllStringSubmatch(string(text), -1) {
		types = append(types, m[1])
	}
	known := Types()
	slices.Sort(types)
	slices.Sort(known)
	if len(types) < 70 || !slices.Equal(types, known) {
		t.Errorf("%d types of events, %d with a payload:\n%v\n%v", len(types), len(known), types, known)
	}
}

// fill gives every field of v a value that is not zero.
func fill(v reflect.Value) {
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		return
	case *json.RawMessage:
		*at = json.RawMessage(`{"any":"thing"}`)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint8:
		if v.CanInt() {
			v.SetInt(7)
		} else {
			v.SetUint(7)
		}
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		key := reflect.New(v.Type().Key()).Elem()
		fill(key)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if slices.Contains([]string{"-"}, v.Type().Field(i).Tag.Get("json")) || !v.Type().Field(i).IsExported() {
				continue
			}
			fill(v.Field(i))
		}
	default:
		panic("a payload has a field of kind " + v.Kind().String())
	}
}
