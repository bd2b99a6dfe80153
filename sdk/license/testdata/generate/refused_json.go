package main

import (
	"strings"

	"copyhold.dev/sdk/license"
)

// refuseJSON adds signed licenses whose payload violates the JSON profile. In most, the violation
// is in an unknown claim, which is checked before it is ignored.
func (w *world) refuseJSON() {
	deep := func(open, end string, n int) string { return strings.Repeat(open, n) + "1" + strings.Repeat(end, n) }
	for _, c := range []struct{ name, why, value string }{
		{"null", "there is no null", `null`},
		{"NaN", "no number", `NaN`},
		{"nothing", "a value is missing", ``},
		{"fraction", "whole numbers only", `1.5`},
		{"fraction of zero", "whole numbers only", `1.0`},
		{"power of ten", "whole numbers only", `1e3`},
		{"power of ten E", "whole numbers only", `1E3`},
		{"number too large", "2^53", `9007199254740992`},
		{"number too small", "-2^53", `-9007199254740992`},
		{"number beyond 64 bits", "2^64", `18446744073709551616`},
		{"zero in front", "one text for each number", `01`},
		{"zero in front, negative", "one text for each number", `-01`},
		{"minus zero", "one text for each number", `-0`},
		{"plus", "no plus", `+1`},
		{"minus alone", "no digits", `-`},
		{"hexadecimal", "decimal only", `0x10`},
		{"truly", "true or false", `truly`},
		{"tru", "true or false", `tru`},
		{"fals", "true or false", `falsy`},
		{"single quotes", "double quotes only", `'a'`},
		{"control character", "escaped only", "\"a\tb\""},
		{"control character after an escape", "escaped only", "\"\\n\tb\""},
		{"NUL", "no NUL", `"a\u0000b"`},
		{"unknown escape", "eight escapes and u", `"\x0041"`},
		{"unknown escape u", "one case", `"\U00000041"`},
		{"escape not hexadecimal", "four hexadecimal digits", `"\u12g4"`},
		{"escape with a blank", "four hexadecimal digits", `"\u 041"`},
		{"high surrogate alone", "pairs only", `"\ud800"`},
		{"high surrogate and text", "pairs only", `"\ud800udc00"`},
		{"high surrogate and another escape", "pairs only", `"\ud800\n"`},
		{"high surrogate without u", "pairs only", `"\ud800\dc00"`},
		{"low surrogate alone", "pairs only", `"\udc00"`},
		{"low surrogate first", "pairs only", `"\udc00\ud800"`},
		{"two high surrogates", "pairs only", `"\ud800\ud800"`},
		{"list with comma at the end", "no value after it", `[1,]`},
		{"list without comma", "values are parted", `[1 2]`},
		{"list closed as object", "as it was opened", `[1}`},
		{"list deeper than 16", "16 with the document's own", deep("[", "]", 16)},
		{"object deeper than 16", "16 with the document's own", deep(`{"a":`, "}", 16)},
		{"object with comma at the end", "no member after it", `{"a":1,}`},
		{"object without comma", "members are parted", `{"a":1"b":2}`},
		{"object without colon", "a name and a value", `{"a" 1}`},
		{"object with another sign", "a name and a value", `{"a"=1}`},
		{"name without quotes", "names are texts", `{ab":1}`},
		{"name a number", "names are texts", `{1:1}`},
		{"name empty", "1 to 128 characters", `{"":1}`},
		{"name too long", "1 to 128 characters", `{"` + strings.Repeat("n", 129) + `":1}`},
		{"name with a blank", "printable ASCII", `{"a b":1}`},
		{"name beyond ASCII", "printable ASCII", `{"é":1}`},
		{"name with delete", "printable ASCII", `{"a` + "\x7f" + `":1}`},
		{"member twice inside", "no member twice", `{"a":1,"a":1}`},
		{"member twice by case inside", "no member twice, by any case", `{"ab":1,"aB":1}`},
		{"member twice escaped", "no member twice", `{"ab":1,"\u0061b":1}`},
		{"member twice of many", "no member twice", `{` + manyNames() + `,"m07":1}`},
		{"member twice by case of many", "no member twice, by any case", `{` + manyNames() + `,"M07":1}`},
		{"comment", "none", `1/**/`},
		{"not UTF-8", "UTF-8 only", "\"\xff\""},
		{"UTF-8 too long", "UTF-8 only", "\"\xc0\xaf\""},
		{"surrogate in UTF-8", "UTF-8 only", "\"\xed\xa0\x80\""},
	} {
		w.noLicense("Format", "json: "+c.name, c.why, `"ver":1`, `"ver":1,"later":`+c.value)
	}
	w.noLicense("Format", "json: member twice", "no member twice", `"ver":1`, `"ver":1,"ver":1`)
	w.noLicense("Format", "json: member twice by case", "which encoding/json would take for exp", `"ver":1`, `"ver":1,"EXP":1999999999`)
	w.noLicense("Format", "json: exp twice", "the last would win elsewhere", `"ver":1`, `"ver":1,"exp":1999999999`)
	w.noLicense("Format", "json: features by case only", "names are exact: this one grants nothing and the value is missing elsewhere", `"status":"active"`, `"Status":"active"`)
	plain := text(minimal())
	raw := func(name, why, payload string) {
		w.no("Format", Vector{Name: "license: json: " + name, Op: "license", Why: why, Doc: w.key.as(license.TypeLicense, payload)})
	}
	raw("data after the end", "one value", plain+"{}")
	raw("brace after the end", "one value", plain+"}")
	raw("NUL after the end", "one value", plain+"\x00")
	raw("byte order mark", "none before the value", "\ufeff"+plain)
	raw("cut short", "the end is missing", plain[:len(plain)-1])
	raw("empty", "nothing", "")
	raw("a list", "an object", "["+plain+"]")
	raw("a text", "an object", `"license"`)
	raw("too long", "64 KiB", plain+strings.Repeat(" ", license.MaxDocument+1-len(plain)))
	for _, c := range []struct{ name, data string }{
		{"text without an end", `"abc`}, {"text without an end after an escape", `"a\n`}, {"escape cut short", `"\u12`}, {"escape at the end", `"\`},
		{"list without an end", `[1`}, {"object without an end", `{"a":1`}, {"blank", ` `}, {"list not closed", `[`}, {"object not closed", `{`},
	} {
		w.no("Format", Vector{Name: "json: " + c.name, Op: "json", Why: "cut off", Data: []byte(c.data)})
	}
	w.refuseShapes()
}

// refuseShapes puts values of the wrong type into optional claims.
func (w *world) refuseShapes() {
	for _, c := range []struct{ name, claim string }{
		{"text a number", `"edition":5`}, {"text a truth value", `"edition":true`}, {"text a list", `"edition":[]`}, {"text an object", `"edition":{}`},
		{"object a text", `"cnf":"m"`}, {"object a list", `"cnf":[]`}, {"object a number", `"cnf":1`}, {"object a truth value", `"cnf":false`},
		{"list a text", `"must":"exp"`}, {"list an object", `"must":{}`}, {"list of numbers", `"must":[1]`},
		{"map a list", `"pools":[]`}, {"map a text", `"pools":"seats"`}, {"map of texts", `"keys":{"export":1}`},
	} {
		w.noLicense("Format", "shape: "+c.name, "a claim of another kind", `"ver":1`, `"ver":1,`+c.claim)
	}
	w.noLicense("Format", "shape: iat a text", "seconds are numbers", `"iat":1799913600`, `"iat":"1799913600"`)
	w.noLicense("Format", "shape: nbf a date", "seconds are numbers", `"nbf":1799913600`, `"nbf":"2027-01-14T08:00:00Z"`)
	w.noLicense("Format", "shape: trial a number", "a truth value", `"term":{}`, `"term":{"trial":1}`)
	w.noLicense("Format", "shape: trial a text", "a truth value", `"term":{}`, `"term":{"trial":"true"}`)
	w.noLicense("Format", "shape: aud a text", "always a list", `"aud":["lathe"]`, `"aud":"lathe"`)
	w.noLicense("Format", "shape: seq of one", "epoch and counter", `"seq":[1,7]`, `"seq":[1]`)
	w.noLicense("Format", "shape: seq of three", "epoch and counter", `"seq":[1,7]`, `"seq":[1,7,9]`)
	w.noLicense("Format", "shape: seq an object", "epoch and counter", `"seq":[1,7]`, `"seq":{"epoch":1,"counter":7}`)
	w.noLicense("Format", "shape: seq a number", "epoch and counter", `"seq":[1,7]`, `"seq":7`)
	w.noLicense("Format", "shape: refresh a number", "a window", `"refresh":[1800086400,1800172800]`, `"refresh":1800086400`)
	w.noLicense("Format", "shape: refresh of three", "a window", `"refresh":[1800086400,1800172800]`, `"refresh":[1800086400,1800172800,1]`)
	w.noLicense("Format", "shape: value an object", "a truth value, a number or a text", `{"value":true}`, `{"value":{}}`)
	w.noLicense("Format", "shape: value a list", "a truth value, a number or a text", `{"value":true}`, `{"value":[true]}`)
}

func manyNames() string {
	var names []string
	for i := range 60 {
		names = append(names, `"m`+string(rune('0'+i/10))+string(rune('0'+i%10))+`":1`)
	}
	return strings.Join(names, ",")
}
