package config

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Print writes the current settings as a YAML file that can be used unchanged, each under
// its description. A setting that is not the default has a comment with its source. A
// secret is shown only as a comment that it is set.
func (l Loaded) Print(w io.Writer) error {
	values := map[string]reflect.Value{}
	walkValues(reflect.ValueOf(l.Config), "", func(path string, v reflect.Value) { values[path] = v })
	var text strings.Builder
	section := ""
	for i, s := range Settings() {
		in, name, nested := strings.Cut(s.Path, ".")
		indent := "  "
		if !nested {
			in, name, indent = "", s.Path, ""
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		if in != section && nested {
			comment(&text, "", sectionDoc(in))
			fmt.Fprintf(&text, "%s:\n", in)
		}
		section = in
		comment(&text, indent, s.Doc)
		text.WriteString(indent + line(s, indent, name, values[s.Path], l.Origin(s.Path)))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func line(s Setting, indent, name string, v reflect.Value, origin string) string {
	from := ""
	if origin != "default" {
		from = "  # from " + origin
	}
	if s.Secret() {
		if v.String() == "" {
			return "# " + name + ":\n" + indent + "# " + name + "_file:\n"
		}
		return "# " + name + ": " + hidden + from + "\n"
	}
	return name + ": " + scalar(v) + from + "\n"
}

func scalar(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		return value.String()
	case []string:
		quoted := make([]string, len(value))
		for i, item := range value {
			quoted[i] = strconv.Quote(item)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case string:
		return strconv.Quote(value)
	}
	return fmt.Sprint(v.Interface())
}

func comment(w *strings.Builder, indent, doc string) {
	for _, text := range strings.Split(doc, "\n") {
		fmt.Fprintf(w, "%s# %s\n", indent, text)
	}
}

// An Entry is one setting in the form that programs read.
type Entry struct {
	Path   string `json:"path"`
	Value  any    `json:"value"` // "(hidden)" for a secret that is set
	Origin string `json:"origin"`
	Env    string `json:"env"`
}

// Entries returns the current settings in the order of Config.
func (l Loaded) Entries() []Entry {
	var entries []Entry
	walkValues(reflect.ValueOf(l.Config), "", func(path string, v reflect.Value) {
		value := v.Interface()
		switch hidden := value.(type) {
		case Secret:
			value = hidden.String()
		case time.Duration:
			value = hidden.String()
		}
		entries = append(entries, Entry{path, value, l.Origin(path), Setting{Path: path}.Env()})
	})
	return entries
}
