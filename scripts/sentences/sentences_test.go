package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var root = filepath.Join("..", "..")

// phrases returns a pattern that finds the phrases in the first column of CONTRIBUTING's word list,
// each in a code span there, as whole words, and the number of phrases.
func phrases(t *testing.T) (*regexp.Regexp, int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(text), "\n| do not write |")
	if !found {
		t.Fatal("CONTRIBUTING.md has no word list")
	}
	list, _, _ = strings.Cut(list, "\n\n")
	var all []string
	for _, row := range strings.Split(list, "\n")[2:] {
		cells := strings.Split(row, "|")
		for _, match := range code.FindAllString(cells[1], -1) {
			all = append(all, regexp.QuoteMeta(strings.Trim(match, "`")))
		}
	}
	return regexp.MustCompile(`(?i)\b(` + strings.Join(all, "|") + `)\b`), len(all)
}

func forbidden(sentences []sentence, phrases *regexp.Regexp) (found []string) {
	for _, s := range sentences {
		prose := code.ReplaceAllString(s.text, "")
		if match := phrases.FindString(prose); match != "" {
			found = append(found, fmt.Sprintf("%s:%d: write plain English (CONTRIBUTING.md, word list) instead of %q: %s", s.file, s.line, match, s.text))
		}
	}
	return found
}

func TestTextsAvoidThePhrasesOfTheWordList(t *testing.T) {
	pattern, n := phrases(t)
	if n < 20 {
		t.Fatalf("the word list has %d phrases", n)
	}
	sentences, err := read(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	count := map[kind]int{}
	for _, s := range sentences {
		count[s.kind]++
	}
	for _, k := range []kind{document, message, godoc, comment} {
		if count[k] < 200 {
			t.Errorf("only %d sentences of kind %s were found", count[k], k)
		}
	}
	for _, found := range forbidden(sentences, pattern) {
		t.Error(found)
	}
}

// A phrase is found in each kind of text that people read, and code is not prose.
func TestAForbiddenPhraseIsFoundWhereverPeopleRead(t *testing.T) {
	for file, text := range map[string]string{
		"docs/a.md":       "A paragraph\nthat starts anew is found.\n",
		"docs/item.md":    "- an item that starts anew\n",
		"docs/head.md":    "## How it starts anew\n",
		"docs/cell.md":    "| a | it starts it anew |\n|---|---|\n",
		"a/help.go":       "package a\n\ntype a struct {\n\tB int `help:\"Let it start anew\"`\n}\n",
		"a/tag.go":        "package a\n\ntype a struct {\n\tB int `json:\"b\" doc:\"Let it start anew\"`\n}\n",
		"a/error.go":      "package a\n\nvar err = \"the server starts anew: \" + x\n",
		"a/broken.go":     "package a\n\nvar err = \"the server starts \" +\n\t\"anew\"\n",
		"a/doc.go":        "// Package a starts things anew.\npackage a\n",
		"a/comment.go":    "package a\n\nfunc a() {\n\t// This starts all things anew.\n}\n",
		"sdk/copyhold.go": "package copyhold\n\n// A starts all things anew.\ntype A struct{}\n",
	} {
		sentences, err := read(fstest.MapFS{file: {Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden(sentences, regexp.MustCompile(`(?i)\banew\b`)); len(found) != 1 {
			t.Errorf("%s: %d texts found, not 1: %+v", file, len(found), sentences)
		}
	}
	for file, text := range map[string]string{
		"docs/code.md":      "```\ncommand that starts it anew\n```\n",
		"docs/span.md":      "The word `anew` is one of the word list.\n",
		"a/a_test.go":       "package a\n\nvar b = \"a test that starts it anew\"\n",
		"a/testdata/a.md":   "A file that starts it anew.\n",
		"a/sql.go":          "package a\n\nvar b = `SELECT anew FROM a WHERE b`\n",
		"a/name.go":         "package a\n\nvar b = \"start-anew\"\n",
		"a/anewer.go":       "package a\n\nvar b = \"a word that is anewer than it\"\n",
		"a/unclear.txt":     "A file that starts it anew.\n",
		"sdk/a/testdata.go": "package a\n\nimport _ \"anew/a b c d\"\n",
	} {
		sentences, err := read(fstest.MapFS{file: {Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden(sentences, regexp.MustCompile(`(?i)\banew\b`)); len(found) != 0 {
			t.Errorf("found in what is no prose: %q", found)
		}
	}
}

func TestADrawDependsOnItsSeedAlone(t *testing.T) {
	sentences, err := read(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	first, again, other := draw(sentences, "a", 60), draw(sentences, "a", 60), draw(sentences, "b", 60)
	if len(first) != 60 || !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Errorf("draws of %d, %d and %d sentences: the same seed must give the same draw, another seed another", len(first), len(again), len(other))
	}
	if all := draw(sentences[:3], "a", 60); len(all) != 3 {
		t.Errorf("%d of 3 sentences drawn", len(all))
	}
}
