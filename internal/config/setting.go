package config

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

// A Setting is one field of Config, with its names and description.
type Setting struct {
	Path    string // limits.in_flight
	Doc     string // its description; lines are separated by \n
	Default string
	Kind    reflect.Type
	oneOf   []string
}

// Env is the setting's name in the environment.
func (s Setting) Env() string {
	return "COPYHOLD_" + strings.ToUpper(strings.ReplaceAll(s.Path, ".", "_"))
}

// Flag is the setting's name on the command line, without leading dashes. For a secret, it
// takes the name of a file.
func (s Setting) Flag() string {
	if s.Secret() {
		return s.dashed() + "-file"
	}
	return s.dashed()
}

func (s Setting) dashed() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Path) }

// Secret reports whether the setting must not be shown.
func (s Setting) Secret() bool { return s.Kind == reflect.TypeFor[Secret]() }

// credential is the name of the systemd credential that contains the setting, a secret.
func (s Setting) credential() string { return "copyhold-" + s.dashed() }

// Usage is the first sentence of Doc, for a flag's help.
func (s Setting) Usage() string {
	text := strings.ReplaceAll(s.Doc, "\n", " ")
	if i := strings.Index(text, ". "); i >= 0 {
		text = text[:i]
	}
	return strings.TrimSuffix(text, ".")
}

// Former is the former name of a setting, or "". Files, variables and flags that use it
// still work. COPYHOLD_URL also names the servers for client commands. The server therefore
// uses it only if nothing else sets public_url, and only if it is a valid URL.
func (s Setting) Former() string {
	if s.Path == "public_url" {
		return "url"
	}
	return ""
}

//go:embed config.go
var source string

// Settings returns every setting in the order of Config.
func Settings() []Setting {
	docs := comments()
	var all []Setting
	walk(reflect.TypeFor[Config](), "", func(f reflect.StructField, owner reflect.Type, path string) {
		all = append(all, Setting{
			Path: path, Doc: docs[owner.Name()+"."+f.Name], Default: f.Tag.Get("default"),
			Kind: f.Type, oneOf: strings.Fields(f.Tag.Get("oneof")),
		})
	})
	return all
}

// walk visits the leaves of t with their paths.
func walk(t reflect.Type, prefix string, visit func(f reflect.StructField, owner reflect.Type, path string)) {
	for f := range fields(t) {
		path := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			walk(f.Type, path+".", visit)
			continue
		}
		visit(f, t, path)
	}
}

func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// comments reads the manual from the source: it maps Type.Field to its comment. The source
// always parses, because it is part of the program.
func comments() map[string]string {
	docs := map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return docs
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if st, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				docs[spec.Name.Name+"."+f.Names[0].Name] = strings.TrimSpace(f.Doc.Text())
			}
		}
		return false
	})
	return docs
}

// sectionDoc returns the comment of the field that contains a section.
func sectionDoc(section string) string {
	for f := range fields(reflect.TypeFor[Config]()) {
		if f.Tag.Get("koanf") == section {
			return comments()["Config."+f.Name]
		}
	}
	return ""
}

func unknown(path string) error {
	best, distance := "", 4
	for _, s := range Settings() {
		if d := edits(path, s.Path); d < distance {
			best, distance = s.Path, d
		}
	}
	if best != "" {
		return fmt.Errorf("unknown setting %s; did you mean %s?", path, best)
	}
	return fmt.Errorf("unknown setting %s; run `copyhold config` to print all settings", path)
}

// edits returns the number of single-character changes that turn a into b (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
