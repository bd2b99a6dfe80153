package main

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// A mutator adds a switch to every check in the files that it reads.
type mutator struct {
	fset   *token.FileSet
	checks []string // file:line and the text of the check
}

// predicates are functions that refuse by returning a boolean.
var predicates = map[string]string{"weak": "true", "add": "false"}

func (m *mutator) file(name string) (string, error) {
	m.fset = token.NewFileSet()
	tree, err := parser.ParseFile(m.fset, name, nil, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	for _, decl := range tree.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil || elsewhere[f.Name.Name] || f.Name.Name == "fail" {
			continue
		}
		in := function{m: m, results: count(f.Type.Results), predicate: predicates[f.Name.Name], errors: lastIsError(f.Type.Results)}
		in.block(f.Body.List)
	}
	var out strings.Builder
	if err := format.Node(&out, m.fset, tree); err != nil {
		return "", err
	}
	return out.String(), nil
}

// A function is the function that contains the checks.
type function struct {
	m         *mutator
	results   int
	errors    bool   // its last result is an error
	predicate string // the value that it returns to refuse
}

func (f function) block(list []ast.Stmt) {
	for i := range list {
		list[i] = f.statement(list[i])
	}
}

func (f function) statement(s ast.Stmt) ast.Stmt {
	switch s := s.(type) {
	case *ast.IfStmt:
		if f.refuses(s.Body.List) {
			s.Cond = f.condition(s.Cond)
		} else {
			f.block(s.Body.List)
		}
		if rest, ok := s.Else.(*ast.BlockStmt); ok {
			f.block(rest.List)
		}
	case *ast.ForStmt:
		f.block(s.Body.List)
	case *ast.RangeStmt:
		f.block(s.Body.List)
	case *ast.BlockStmt:
		f.block(s.List)
	case *ast.SwitchStmt:
		f.cases(s)
	case *ast.ReturnStmt:
		f.returned(s)
	case *ast.ExprStmt:
		if isFail(s) {
			return &ast.IfStmt{Cond: f.m.on(s), Body: &ast.BlockStmt{List: []ast.Stmt{s}}}
		}
	}
	return s
}

func (f function) cases(s *ast.SwitchStmt) {
	for _, c := range s.Body.List {
		c := c.(*ast.CaseClause)
		if s.Tag == nil && len(c.List) == 1 && f.refuses(c.Body) {
			c.List[0] = f.condition(c.List[0])
			continue
		}
		f.block(c.Body)
	}
}

// returned adds a switch to an error that a function returns at its end.
func (f function) returned(s *ast.ReturnStmt) {
	if !f.errors || len(s.Results) != f.results {
		return
	}
	last := len(s.Results) - 1
	if _, ok := s.Results[last].(*ast.CallExpr); ok || isSentinel(s.Results[last]) {
		s.Results[last] = call("errorStands", f.m.number(s), s.Results[last])
	}
}

// refuses reports whether the statements only refuse.
func (f function) refuses(list []ast.Stmt) bool {
	if len(list) == 0 {
		return false
	}
	if isFail(list[0]) {
		return true
	}
	ret, ok := list[len(list)-1].(*ast.ReturnStmt)
	if !ok || len(ret.Results) == 0 || len(list) > 1 {
		return false
	}
	last := ret.Results[len(ret.Results)-1]
	if f.predicate != "" {
		return isIdent(last, f.predicate)
	}
	if !f.errors || isIdent(last, "nil") {
		return false
	}
	return len(ret.Results) == f.results
}

// condition adds a switch to each part of a || b || c.
func (f function) condition(e ast.Expr) ast.Expr {
	if or, ok := e.(*ast.BinaryExpr); ok && or.Op == token.LOR {
		or.X, or.Y = f.condition(or.X), f.condition(or.Y)
		return or
	}
	return &ast.ParenExpr{X: &ast.BinaryExpr{X: &ast.ParenExpr{X: e}, Op: token.LAND, Y: f.m.on(e)}}
}

func (m *mutator) on(at ast.Node) ast.Expr { return call("checkStands", m.number(at)) }

// number returns the number of the check at a node, as an expression.
func (m *mutator) number(at ast.Node) ast.Expr {
	var text strings.Builder
	if err := format.Node(&text, m.fset, at); err != nil {
		panic(err) // the node was parsed from source
	}
	pos := m.fset.Position(at.Pos())
	first, _, _ := strings.Cut(text.String(), "\n")
	m.checks = append(m.checks, fmt.Sprintf("%s:%d: %s", filepath.Base(pos.Filename), pos.Line, first))
	return &ast.BasicLit{Kind: token.INT, Value: fmt.Sprint(len(m.checks) - 1)}
}

func call(name string, args ...ast.Expr) ast.Expr {
	return &ast.CallExpr{Fun: ast.NewIdent(name), Args: args}
}

func isFail(s ast.Stmt) bool {
	e, ok := s.(*ast.ExprStmt)
	if !ok {
		return false
	}
	c, ok := e.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := c.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "fail"
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func isSentinel(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && strings.HasPrefix(id.Name, "Err")
}

func count(results *ast.FieldList) int {
	if results == nil {
		return 0
	}
	return results.NumFields()
}

func lastIsError(results *ast.FieldList) bool {
	if results == nil || len(results.List) == 0 {
		return false
	}
	return isIdent(results.List[len(results.List)-1].Type, "error")
}
