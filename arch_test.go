package copyhold_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms lists every package of the root module, which of our packages it may import,
// and what it may not touch. A package that is missing here fails the test, so a new
// package is a decision and not an accident.
var rooms = map[string]room{
	"cmd/copyhold":                       {ours: []string{"internal/cli"}, outside: "none"},
	"internal/cli":                       {ours: []string{"*"}, may: "env sql http"},
	"internal/client":                    {ours: []string{"sdk/copyhold", "sdk/license"}, may: "http"},
	"internal/seat":                      {ours: []string{"internal/client", "sdk/copyhold", "sdk/license"}, may: "http"},
	"internal/api":                       {ours: []string{"internal/authority", "internal/authority/recovery", "internal/authority/granting", "internal/authority/documents", "internal/authority/credentials", "internal/authority/keys", "internal/authority/jobs", "internal/authority/catalog", "internal/authority/ledger", "internal/authority/request", "internal/v1", "internal/signing", "internal/access", "internal/policy", "internal/audit", "internal/licensing", "internal/metrics", "sdk/license"}, may: "http"},
	"internal/authority":                 authorityRoom(6),
	"internal/authority/recovery":        authorityRoom(5),
	"internal/authority/granting":        authorityRoom(4, "internal/authority/granting/commit"),
	"internal/authority/documents":       authorityRoom(3),
	"internal/authority/credentials":     authorityRoom(3),
	"internal/authority/keys":            authorityRoom(3),
	"internal/authority/jobs":            authorityRoom(3),
	"internal/authority/catalog":         authorityRoom(2),
	"internal/authority/ledger":          authorityRoom(1),
	"internal/authority/request":         authorityRoom(0),
	"internal/authority/granting/commit": {ours: []string{"internal/licensing", "internal/metrics"}},
	"internal/store":                     {ours: []string{"internal/cache", "internal/licensing", "internal/metrics", "sdk/license"}, may: "sql"},
	"internal/store/sqlite":              {ours: []string{"internal/store", "internal/licensing"}, may: "sql"},
	"internal/store/postgres":            {ours: []string{"internal/store", "internal/licensing"}, may: "sql"},
	"internal/store/storetest":           {ours: []string{"internal/store", "internal/store/sqlite", "internal/store/postgres"}, may: "sql env"},
	"internal/signing":                   {ours: []string{"internal/licensing", "internal/metrics", "sdk/license"}},
	"internal/access":                    {ours: []string{"internal/licensing"}},
	"internal/policy":                    {ours: []string{"internal/licensing", "sdk/license"}, pure: true},
	"internal/audit":                     {ours: []string{"internal/audit/entry", "internal/licensing"}, pure: true},
	"internal/audit/entry":               {ours: []string{"internal/licensing", "sdk/license"}, pure: true, outside: "none"},
	"internal/v1":                        {ours: []string{"internal/access", "internal/policy", "internal/audit", "internal/licensing", "sdk/license"}, pure: true},
	"internal/licensing":                 {ours: []string{"sdk/license"}, pure: true, outside: "none"},
	"internal/metrics":                   {},
	"internal/cache":                     {ours: []string{"internal/metrics"}},
	"internal/config":                    {ours: []string{"sdk/license"}, may: "env http"}, // net parses addresses; it does not dial
	"examples/plans":                     {outside: "none"},
	"examples/report":                    {ours: []string{"sdk/copyhold"}, outside: "none", may: "env http"},
	"examples/gateway":                   {ours: []string{"sdk/copyhold"}, outside: "none", may: "env http"},
	"examples/batch":                     {ours: []string{"sdk/copyhold"}, outside: "none", may: "env http"},
	"scripts/sentences":                  {outside: "none", may: "env"},
	"scripts/manual":                     {ours: []string{"internal/cli"}, may: "env"},
	"bench":                              {ours: []string{"*"}, may: "env sql http"},
	"bench/torture":                      {ours: []string{"*"}, may: "env sql http"},
}

// authorityRanks lists the rooms of authority by rank. A room may import rooms of lower
// ranks but never one of its own rank.
var authorityRanks = [][]string{
	{"request"}, {"ledger"}, {"catalog"}, {"keys", "credentials", "documents", "jobs"}, {"granting"}, {"recovery"},
}

// authorityRoom returns the rules for a room of authority of a given rank, which may also
// import the packages in also.
func authorityRoom(rank int, also ...string) room {
	r := room{ours: append([]string{"internal/store", "internal/signing", "internal/access", "internal/policy", "internal/audit", "internal/audit/entry", "internal/v1", "internal/licensing", "internal/cache", "internal/metrics", "sdk/license"}, also...)}
	for _, names := range authorityRanks[:rank] {
		for _, name := range names {
			r.ours = append(r.ours, "internal/authority/"+name)
		}
	}
	return r
}

// largestRoom is the maximum size of a room of authority, in lines outside tests.
const largestRoom = 4000

// A room describes what one package may import. Ours lists our own packages; "*" allows
// all of them, for code that wires the others together. Outside "none" forbids third-party
// modules. Pure forbids I/O, clocks, and randomness. May allows "env" (environment and
// exit), "sql" (database/sql), and "http" (net/http and net).
type room struct {
	ours    []string
	outside string
	pure    bool
	may     string
}

var (
	guarded = map[string]string{"database/sql": "sql", "net/http": "http", "net": "http"}
	impure  = []string{"os", "net", "net/http", "io/ioutil", "os/exec", "os/signal", "crypto/rand", "math/rand", "math/rand/v2", "database/sql", "log", "log/slog", "syscall"}
	attics  = []string{"util", "utils", "common", "core", "types", "models", "model", "manager", "helpers", "helper", "shared", "misc", "base"}
)

func TestHouseHasOnlyKnownRoomsAndArrows(t *testing.T) { report(t, arrows(packages(t, "."))) }

// arrows finds packages that are not in the table, and imports and calls that the table forbids.
func arrows(house map[string][]file) (found []string) {
	for dir, files := range house {
		if strings.HasPrefix(dir, "sdk") || strings.HasPrefix(dir, "deploy") { // modules of their own
			continue
		}
		r, known := rooms[dir]
		if !known {
			found = append(found, dir+" is not in the table of rooms: add it with what it may import, or put the code where it belongs")
			continue
		}
		for _, f := range files {
			found = append(found, wrongImports(dir, r, f)...)
			found = append(found, wrongCalls(dir, r, f)...)
		}
	}
	return found
}

func TestNoRoomOfAuthorityIsTooLarge(t *testing.T) { report(t, tooLarge(packages(t, "."))) }

// tooLarge finds rooms of authority with more than largestRoom lines.
func tooLarge(house map[string][]file) (found []string) {
	for dir, files := range house {
		lines := 0
		for _, f := range files {
			lines += f.lines
		}
		if strings.HasPrefix(dir, "internal/authority") && lines > largestRoom {
			found = append(found, fmt.Sprintf("%s has %d lines, more than %d: split it", dir, lines, largestRoom))
		}
	}
	return found
}

// report fails the test for each finding.
func report(t *testing.T, found []string) {
	t.Helper()
	for _, one := range found {
		t.Error(one)
	}
}

// sdkModules maps each module beside the SDK to the third-party code that it may use.
var sdkModules = map[string]string{
	"sdk/copyholdgrpc":        "google.golang.org/",
	"sdk/copyholdopenfeature": "github.com/open-feature/go-sdk/",
	"sdk/copyholdotel":        "go.opentelemetry.io/otel",
}

func TestSDKUsesOnlyTheStandardLibrary(t *testing.T) {
	report(t, sdkAlone(packages(t, "sdk")))
	mod, err := os.ReadFile("sdk/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "require") {
		t.Error("sdk/go.mod requires a module")
	}
}

// sdkAlone finds imports of the SDK that are not in the standard library.
func sdkAlone(house map[string][]file) (found []string) {
	for dir, files := range house {
		if _, apart := sdkModules[dir]; apart || !strings.HasPrefix(dir, "sdk") {
			continue
		}
		for _, f := range files {
			for _, path := range f.imports() {
				first, _, _ := strings.Cut(path, "/")
				if strings.Contains(first, ".") && !strings.HasPrefix(path, "copyhold.dev/sdk") {
					found = append(found, f.in(dir)+" imports "+path+": the SDK must add no dependency to customers' programs")
				}
			}
		}
	}
	return found
}

func TestModulesBesideTheSDKUseOneThingEach(t *testing.T) {
	all := packages(t, "sdk")
	for dir, outside := range sdkModules {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			t.Errorf("%s is not a separate module, so the SDK's customers inherit its dependencies", dir)
		}
		for _, f := range all[dir] {
			for _, spec := range f.ast.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				first, _, _ := strings.Cut(path, "/")
				if strings.Contains(first, ".") && !strings.HasPrefix(path, "copyhold.dev/sdk/") && !strings.HasPrefix(path, outside) {
					t.Errorf("%s may not import %s", filepath.Join(dir, f.name), path)
				}
			}
		}
	}
}

// TestSDKNeedsNoNewerGo checks the SDK's imports against the Go version in its go.mod. Vet
// checks functions and types but does not notice an entirely new package.
func TestSDKNeedsNoNewerGo(t *testing.T) {
	mod, err := os.ReadFile("sdk/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindSubmatch(mod)
	if version == nil {
		t.Fatal("sdk/go.mod has no Go version")
	}
	ours, _ := strconv.Atoi(string(version[1]))
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	lists, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "api", "go1*.txt"))
	if err != nil || len(lists) == 0 {
		t.Skip("NOT checked: this Go installation has no api folder")
	}
	since := map[string]int{} // the first minor version of each package
	for _, list := range lists {
		minor, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimSuffix(filepath.Base(list), ".txt"), "go1."))
		text, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			path, _, _ := strings.Cut(strings.TrimPrefix(line, "pkg "), ",")
			path, _, _ = strings.Cut(path, " (")
			if first, known := since[path]; !known || minor < first {
				since[path] = minor
			}
		}
	}
	if since["testing/synctest"] != 25 {
		t.Fatalf("testing/synctest is listed under Go 1.%d, want 1.25: the api folder was misread", since["testing/synctest"])
	}
	for dir, files := range packages(t, "sdk") {
		for _, f := range files {
			for _, spec := range f.ast.Imports {
				if path, _ := strconv.Unquote(spec.Path.Value); since[path] > ours {
					t.Errorf("%s imports %s, which Go 1.%d does not have", filepath.Join(dir, f.name), path, ours)
				}
			}
		}
	}
}

// sdkRooms maps each package of the SDK to the SDK packages that it may import.
var sdkRooms = map[string][]string{
	"sdk/license":             {},
	"sdk/internal/simulation": {},
	"sdk/copyhold":            {"sdk/license", "sdk/internal/simulation"},
	"sdk/copyholdtest":        {"sdk/license", "sdk/internal/simulation", "sdk/copyhold"},
	"sdk/copyholdgrpc":        {"sdk/license", "sdk/copyhold"},
	"sdk/copyholdopenfeature": {"sdk/license", "sdk/copyhold"},
	"sdk/copyholdotel":        {"sdk/license", "sdk/copyhold"},
}

// TestSDKHasOnlyKnownRoomsAndArrows also keeps test licenses out of programs: only tests
// import copyholdtest.
func TestSDKHasOnlyKnownRoomsAndArrows(t *testing.T) { report(t, sdkArrows(packages(t, "."))) }

func sdkArrows(house map[string][]file) (found []string) {
	for dir, files := range house {
		allowed, known := sdkRooms[dir]
		if !known && strings.HasPrefix(dir, "sdk") {
			found = append(found, dir+" is not in the table of the SDK's rooms")
		}
		for _, f := range files {
			for _, path := range f.imports() {
				ours, isOurs := strings.CutPrefix(path, "copyhold.dev/")
				if ours == "sdk/copyholdtest" || known && isOurs && !slices.Contains(allowed, ours) {
					found = append(found, f.in(dir)+" may not import "+path)
				}
			}
		}
	}
	return found
}

func TestNoAtticsAndEveryRoomIsExplained(t *testing.T) { report(t, unexplained(packages(t, "."))) }

// unexplained finds packages with meaningless names, such as util, and packages without a
// package comment.
func unexplained(house map[string][]file) (found []string) {
	for dir, files := range house {
		if slices.Contains(attics, filepath.Base(dir)) {
			found = append(found, dir+": name a package after the thing it knows")
		}
		if !slices.ContainsFunc(files, func(f file) bool { return f.ast.Doc != nil }) {
			found = append(found, dir+" has no package comment")
		}
	}
	return found
}

// tours lists the packages whose comment is a tour of their files. If the value is true, the
// tour must name every file.
var tours = map[string]bool{"internal/authority": true, "internal/client": true, "internal/seat": true, "internal/cli": false}

func TestToursLeadThroughTheFilesThatThereAre(t *testing.T) { report(t, wrongTours(packages(t, "."))) }

// wrongTours finds files that a tour omits, and names in a tour that match no file.
func wrongTours(house map[string][]file) (found []string) {
	for dir, whole := range tours {
		var tour string
		for _, f := range house[dir] {
			tour += f.ast.Doc.Text()
		}
		named := regexp.MustCompile(`[a-z_*]+\.go\b`).FindAllString(tour, -1)
		for _, name := range named {
			if !slices.ContainsFunc(house[dir], func(f file) bool { ok, _ := filepath.Match(name, f.name); return ok }) {
				found = append(found, dir+": its package comment names "+name+", which does not exist")
			}
		}
		for _, f := range house[dir] {
			led := slices.ContainsFunc(named, func(name string) bool { ok, _ := filepath.Match(name, f.name); return ok })
			if whole && !led && f.name != "doc.go" {
				found = append(found, f.in(dir)+" is not in its package comment")
			}
		}
	}
	return found
}

func TestNoPackageState(t *testing.T) { report(t, packageState(packages(t, "."))) }

// stateful lists the package variables that may change: a cache of the members of types, and
// the databases that the tests of one process share.
var stateful = []string{"sdk/license.plans", "internal/store/storetest.databases"}

// packageState finds init functions, package variables that a function changes, and package
// variables whose type only makes sense if they change.
func packageState(house map[string][]file) (found []string) {
	for dir, files := range house {
		variables := map[string]bool{}
		for _, f := range files {
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Recv == nil && d.Name.Name == "init" {
						found = append(found, f.in(dir)+" has an init function")
					}
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						if v, ok := spec.(*ast.ValueSpec); ok && d.Tok == token.VAR {
							for _, name := range v.Names {
								variables[name.Name] = name.Name != "_"
								if changes(v.Type) && !slices.Contains(stateful, dir+"."+name.Name) {
									found = append(found, f.in(dir)+" has a package variable that changes: "+name.Name)
								}
							}
						}
					}
				}
			}
		}
		for _, f := range files {
			for _, name := range changed(f.ast, variables) {
				found = append(found, f.in(dir)+" changes the package variable "+name)
			}
		}
	}
	return found
}

// changes reports whether variables of this type exist to be changed.
func changes(of ast.Expr) bool {
	switch of := of.(type) {
	case *ast.IndexExpr: // atomic.Pointer[T]
		return changes(of.X)
	case *ast.SelectorExpr:
		pkg, ok := of.X.(*ast.Ident)
		return ok && (pkg.Name == "sync" || pkg.Name == "atomic")
	case *ast.ChanType:
		return true
	}
	return false
}

// changed returns the package variables that functions in f assign to. A local variable
// with the same name hides the package variable.
func changed(f *ast.File, variables map[string]bool) (names []string) {
	note := func(to ast.Expr) {
		for {
			switch x := to.(type) {
			case *ast.IndexExpr:
				to = x.X
				continue
			case *ast.SelectorExpr:
				to = x.X
				continue
			case *ast.StarExpr:
				to = x.X
				continue
			case *ast.Ident:
				if variables[x.Name] && (x.Obj == nil || x.Obj.Decl == nil || isPackageVariable(f, x.Obj)) {
					names = append(names, x.Name)
				}
			}
			return
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, to := range n.Lhs {
					note(to)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		}
		return true
	})
	return names
}

func isPackageVariable(f *ast.File, o *ast.Object) bool { return f.Scope.Lookup(o.Name) == o }

func wrongImports(dir string, r room, f file) (found []string) {
	for _, path := range f.imports() {
		ours, isOurs := strings.CutPrefix(path, "copyhold.dev/")
		first, _, _ := strings.Cut(path, "/")
		switch {
		case isOurs:
			if !slices.Contains(r.ours, "*") && !slices.Contains(r.ours, ours) {
				found = append(found, f.in(dir)+" may not import "+ours)
			}
		case strings.Contains(first, "."):
			if r.outside == "none" {
				found = append(found, f.in(dir)+" may not import the third-party "+path)
			}
		case r.pure && slices.Contains(impure, path):
			found = append(found, f.in(dir)+" is pure and may not import "+path)
		case guarded[path] != "" && !strings.Contains(r.may, guarded[path]):
			found = append(found, f.in(dir)+" may not import "+path)
		}
	}
	return found
}

// wrongCalls finds violations that imports alone don't show.
func wrongCalls(dir string, r room, f file) (found []string) {
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok || pkg.Obj != nil {
			return true
		}
		switch call := pkg.Name + "." + sel.Sel.Name; call {
		case "time.Now", "time.Since", "time.Until", "time.After", "time.NewTimer", "time.NewTicker":
			if r.pure {
				found = append(found, f.in(dir)+" calls "+call+": a rule takes the time as an argument")
			}
		case "os.Getenv", "os.LookupEnv", "os.Environ", "os.Exit":
			if !strings.Contains(r.may, "env") && dir != "cmd/copyhold" {
				found = append(found, f.in(dir)+" calls "+call+": environment and exit belong to config and cli")
			}
		case "slog.Default", "slog.SetDefault", "http.DefaultClient", "prometheus.MustRegister", "prometheus.DefaultRegisterer":
			found = append(found, f.in(dir)+" uses "+call+": pass it in")
		}
		return true
	})
	return found
}

// TestTheRulesOfTheHouseCatchWhatBreaksThem plants at least one violation of each rule.
func TestTheRulesOfTheHouseCatchWhatBreaksThem(t *testing.T) {
	whole := packages(t, ".")
	for _, planted := range []struct {
		rule      func(map[string][]file) []string
		dir, text string
		want      string
	}{
		{arrows, "internal/extra", "", "internal/extra is not in the table of rooms"},
		{arrows, "internal/api", `import _ "copyhold.dev/internal/store"`, "internal/api/planted.go may not import internal/store"},
		{arrows, "internal/client", `import _ "copyhold.dev/internal/cli"`, "may not import internal/cli"},
		{arrows, "internal/client", `import _ "copyhold.dev/internal/store"`, "may not import internal/store"},
		{arrows, "internal/seat", `import _ "copyhold.dev/internal/authority"`, "may not import internal/authority"},
		{arrows, "internal/seat", `import "os"; func f() { os.Getenv("HOME") }`, "calls os.Getenv"},
		{arrows, "internal/store", `import _ "copyhold.dev/internal/authority/ledger"`, "may not import internal/authority/ledger"},
		{arrows, "internal/authority/ledger", `import _ "copyhold.dev/internal/authority/catalog"`, "may not import internal/authority/catalog"},
		{arrows, "internal/authority/keys", `import _ "copyhold.dev/internal/authority/credentials"`, "may not import internal/authority/credentials"},
		{arrows, "internal/authority/granting", `import _ "copyhold.dev/internal/authority"`, "may not import internal/authority"},
		{arrows, "internal/authority/catalog", `import _ "database/sql"`, "may not import database/sql"},
		{arrows, "internal/authority/catalog", `import _ "net/http"`, "may not import net/http"},
		{arrows, "internal/licensing", `import _ "os"`, "internal/licensing/planted.go is pure and may not import os"},
		{arrows, "internal/licensing", `import _ "github.com/jackc/pgx/v5"`, "may not import the third-party github.com/jackc/pgx/v5"},
		{arrows, "internal/licensing", `import "time"; func f() { time.Now() }`, "calls time.Now"},
		{arrows, "internal/api", `import "os"; func f() { os.Getenv("HOME") }`, "calls os.Getenv"},
		{arrows, "internal/api", `import "log/slog"; func f() { slog.Default() }`, "uses slog.Default"},
		{arrows, "internal/v1", `import _ "copyhold.dev/internal/authority/ledger"`, "may not import internal/authority/ledger"},
		{arrows, "internal/audit/entry", `import _ "copyhold.dev/internal/audit"`, "may not import internal/audit"},
		{tooLarge, "internal/authority/keys", strings.Repeat("// one line\n", largestRoom), "internal/authority/keys has 4"},
		{sdkAlone, "sdk/copyhold", `import _ "google.golang.org/grpc"`, "imports google.golang.org/grpc"},
		{sdkArrows, "sdk/extra", "", "sdk/extra is not in the table"},
		{sdkArrows, "sdk/license", `import _ "copyhold.dev/sdk/copyhold"`, "may not import copyhold.dev/sdk/copyhold"},
		{sdkArrows, "internal/cli", `import _ "copyhold.dev/sdk/copyholdtest"`, "may not import copyhold.dev/sdk/copyholdtest"},
		{unexplained, "internal/util", "", "name a package after the thing it knows"},
		{unexplained, "internal/extra", "", "internal/extra has no package comment"},
		{wrongTours, "internal/seat", "", "internal/seat/planted.go is not in its package comment"},
		{packageState, "internal/store", `func init() {}`, "has an init function"},
		{packageState, "internal/store", `import "sync/atomic"; var n atomic.Int64`, "has a package variable that changes: n"},
		{packageState, "internal/store", `var n int; func f() { n++ }`, "changes the package variable n"},
		{packageState, "internal/store", `var m = map[string]int{}; func f() { m["a"] = 1 }`, "changes the package variable m"},
	} {
		house := maps.Clone(whole)
		if found := planted.rule(house); len(found) > 0 {
			t.Errorf("before anything is planted: %v", found)
		}
		house[planted.dir] = append(slices.Clone(house[planted.dir]), parse(t, token.NewFileSet(), "planted.go", "package planted; "+planted.text))
		found := planted.rule(house)
		if !slices.ContainsFunc(found, func(one string) bool { return strings.Contains(one, planted.want) }) {
			t.Errorf("%s with %q: got %q, want %q", planted.dir, planted.text[:min(len(planted.text), 80)], found, planted.want)
		}
	}
}

// A file is one Go file of a package.
type file struct {
	name  string
	ast   *ast.File
	lines int
}

// in returns the path of the file in the package folder dir.
func (f file) in(dir string) string { return filepath.Join(dir, f.name) }

func (f file) imports() (paths []string) {
	for _, spec := range f.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, path)
	}
	return paths
}

func parse(t *testing.T, fset *token.FileSet, path string, text any) file {
	t.Helper()
	parsed, err := parser.ParseFile(fset, path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file{filepath.Base(path), parsed, fset.File(parsed.Pos()).LineCount()}
}

// packages parses every non-test Go file below root and groups the files by directory. It
// skips testdata.
func packages(t *testing.T, root string) map[string][]file {
	t.Helper()
	found := map[string][]file{}
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		found[dir] = append(found[dir], parse(t, fset, path, nil))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no packages below %s: the test searches the wrong directory", root)
	}
	return found
}
