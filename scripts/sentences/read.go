package main

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A kind says where a sentence is read.
type kind string

const (
	document kind = "document" // Markdown
	message  kind = "message"  // help, errors, log lines, API descriptions: strings of the program
	godoc    kind = "godoc"    // package comments, and the SDK's exported names
	comment  kind = "comment"  // other comments, which only those who read the code see
)

type sentence struct {
	file string
	line int
	kind kind
	text string
}

// fewest is the number of words below which a text is a name and not a sentence.
const fewest = 4

// read returns the sentences of a tree, each text once, ordered by file and line. It leaves out
// tests, test data, and documents that tests generate from messages.
func read(tree fs.FS) ([]sentence, error) {
	var found []sentence
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := path.Base(name); base == "testdata" || base == "dist" || base == "bin" || base != "." && base[0] == '.' {
				return fs.SkipDir
			}
			return nil
		}
		isGo := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if !isGo && !strings.HasSuffix(name, ".md") || name == "docs/cli.md" {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		if !isGo {
			found = append(found, inMarkdown(name, string(text))...)
			return nil
		}
		more, err := inGo(name, text)
		found = append(found, more...)
		return err
	})
	slices.SortStableFunc(found, func(a, b sentence) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	seen := map[string]bool{}
	return slices.DeleteFunc(found, func(s sentence) bool {
		again := seen[s.text]
		seen[s.text] = true
		return again
	}), err
}

// inMarkdown reads paragraphs, list items, headings and table cells outside code.
func inMarkdown(file, text string) (found []sentence) {
	var paragraph []string
	start, fenced := 0, false
	end := func() {
		found = append(found, split(file, start, document, strings.Join(paragraph, " "))...)
		paragraph = nil
	}
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			end()
			fenced = !fenced
			continue
		case fenced:
			continue
		case trimmed == "", strings.HasPrefix(trimmed, "|---"):
			end()
			continue
		case strings.HasPrefix(trimmed, "|"):
			end()
			for _, cell := range strings.Split(strings.Trim(trimmed, "|"), " | ") {
				found = append(found, split(file, i+1, document, cell)...)
			}
			continue
		case item.MatchString(trimmed), strings.HasPrefix(trimmed, "#"):
			end()
			trimmed = item.ReplaceAllString(strings.TrimLeft(trimmed, "# "), "")
		}
		if len(paragraph) == 0 {
			start = i + 1
		}
		paragraph = append(paragraph, trimmed)
		if strings.HasPrefix(line, "#") {
			end()
		}
	}
	end()
	return found
}

// item matches the mark of a list item.
var item = regexp.MustCompile(`^([-*]|\d+\.)\s+`)

// inGo reads the strings and comments of a Go file.
func inGo(file string, text []byte) (found []sentence, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, text, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	public := publicComments(file, f)
	for _, group := range f.Comments {
		of := comment
		if public[group] {
			of = godoc
		}
		for _, paragraph := range strings.Split(group.Text(), "\n\n") {
			if !strings.HasPrefix(paragraph, "\t") {
				found = append(found, split(file, fset.Position(group.Pos()).Line, of, paragraph)...)
			}
		}
	}
	tags := map[ast.Node]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			if n.Tag != nil {
				tags[n.Tag] = true
				for _, value := range tagTexts(n.Tag.Value) {
					found = append(found, split(file, fset.Position(n.Tag.Pos()).Line, message, value)...)
				}
			}
		case *ast.BinaryExpr:
			if whole, ok := concatenated(n); ok {
				found = append(found, ofProgram(file, fset.Position(n.Pos()).Line, whole)...)
				return false
			}
		case *ast.BasicLit:
			if whole, ok := concatenated(n); ok && !tags[n] {
				found = append(found, ofProgram(file, fset.Position(n.Pos()).Line, whole)...)
			}
		}
		return true
	})
	return found, nil
}

// publicComments returns the comments that go doc shows to strangers.
func publicComments(file string, f *ast.File) map[*ast.CommentGroup]bool {
	public := map[*ast.CommentGroup]bool{f.Doc: true}
	if !strings.HasPrefix(file, "sdk/") || strings.Contains(file, "/internal/") || f.Name.Name == "main" {
		return public
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			public[d.Doc] = d.Name.IsExported()
		case *ast.GenDecl:
			public[d.Doc] = true
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					public[spec.Doc] = spec.Name.IsExported()
					public[d.Doc] = public[d.Doc] && spec.Name.IsExported()
					ast.Inspect(spec.Type, func(n ast.Node) bool {
						if field, ok := n.(*ast.Field); ok && spec.Name.IsExported() {
							public[field.Doc], public[field.Comment] = true, true
						}
						return true
					})
				case *ast.ValueSpec:
					exported := spec.Names[0].IsExported()
					public[spec.Doc], public[spec.Comment] = exported, exported
					public[d.Doc] = public[d.Doc] && exported
				}
			}
		}
	}
	delete(public, nil)
	return public
}

// tagText matches the values of struct tags that people read.
var tagText = regexp.MustCompile(`(?:help|doc|summary|title|description|placeholder):("(?:[^"\\]|\\.)*")`)

func tagTexts(tag string) (texts []string) {
	raw, err := strconv.Unquote(tag)
	if err != nil {
		return nil
	}
	for _, match := range tagText.FindAllStringSubmatch(raw, -1) {
		if value, err := strconv.Unquote(match[1]); err == nil {
			texts = append(texts, value)
		}
	}
	return texts
}

// concatenated returns a string literal, or the literals of a concatenation with "…" for what is
// not literal.
func concatenated(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.ParenExpr:
		return concatenated(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		x, left := concatenated(e.X)
		y, right := concatenated(e.Y)
		if !left {
			x = "…"
		}
		if !right {
			y = "…"
		}
		return x + y, left || right
	}
	return "", false
}

// notProse matches strings that are SQL, patterns, code or examples of commands.
var notProse = regexp.MustCompile(`^\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH|PRAGMA|DROP|SET|BEGIN|COPY|LOCK|ANALYZE|VACUUM)\b|` +
	`\b(WHERE|JOIN|VALUES|GROUP BY|ORDER BY|ON CONFLICT|AND|OR) |\$[0-9]|^[{^<]|:=|\(\?|^\s*copyhold `)

func ofProgram(file string, line int, text string) (found []sentence) {
	if notProse.MatchString(text) {
		return nil
	}
	for _, paragraph := range strings.Split(text, "\n\n") {
		found = append(found, split(file, line, message, paragraph)...)
	}
	return found
}

// sentenceEnd matches the end of one sentence before the start of the next.
var sentenceEnd = regexp.MustCompile("([.!?][)\"”]?)\\s+([A-Z`\"(“])")

func split(file string, line int, of kind, text string) (found []sentence) {
	text = strings.Join(strings.Fields(text), " ")
	for part := range strings.SplitSeq(sentenceEnd.ReplaceAllString(text, "$1\n$2"), "\n") {
		if part = strings.TrimSpace(part); words(code.ReplaceAllString(part, "")) >= fewest {
			found = append(found, sentence{file, line, of, part})
		}
	}
	return found
}

// code matches what is not prose in a sentence.
var code = regexp.MustCompile("`[^`]+`")

func words(text string) (n int) {
	for _, field := range strings.Fields(text) {
		if strings.IndexFunc(field, unicode.IsLetter) == 0 {
			n++
		}
	}
	return n
}
