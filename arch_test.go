package copyhold_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms is the house: every package of the root module, what it may import of
// ours, and what it may not touch. A package that is missing here fails, so a
// new room is a decision and not an accident.
var rooms = map[string]room{
	"cmd/copyhold":              {ours: []string{"internal/cli"}, outside: "none"},
	"internal/cli":              {ours: []string{"*"}, may: "env sql http"},
	"internal/api":              {ours: []string{"internal/authority", "internal/store", "internal/signing", "internal/access", "internal/policy", "internal/audit", "internal/licensing", "internal/metrics", "sdk/license"}, may: "http"},
	"internal/authority":        {ours: []string{"internal/authority/commit", "internal/store", "internal/signing", "internal/access", "internal/policy", "internal/audit", "internal/licensing", "internal/metrics", "sdk/license"}},
	"internal/authority/commit": {ours: []string{"internal/licensing", "internal/metrics"}},
	"internal/store":            {ours: []string{"internal/licensing", "internal/metrics", "sdk/license"}, may: "sql"},
	"internal/store/sqlite":     {ours: []string{"internal/store", "internal/licensing"}, may: "sql"},
	"internal/store/postgres":   {ours: []string{"internal/store", "internal/licensing"}, may: "sql"},
	"internal/store/storetest":  {ours: []string{"internal/store", "internal/store/sqlite", "internal/store/postgres"}, may: "sql env"},
	"internal/signing":          {ours: []string{"internal/licensing", "internal/metrics", "sdk/license"}},
	"internal/access":           {ours: []string{"internal/licensing"}},
	"internal/policy":           {ours: []string{"internal/licensing", "sdk/license"}, pure: true},
	"internal/audit":            {ours: []string{"internal/licensing"}, pure: true},
	"internal/licensing":        {ours: []string{"sdk/license"}, pure: true, outside: "none"},
	"internal/metrics":          {},
	"internal/config":           {ours: []string{"sdk/license"}, may: "env http"}, // net to read addresses, it dials nothing
	"examples/plans":            {outside: "none"},
	"examples/report":           {ours: []string{"sdk/copyhold"}, outside: "none", may: "env http"},
	"examples/gateway":          {ours: []string{"sdk/copyhold"}, outside: "none", may: "env http"},
	"examples/batch":            {ours: []string{"sdk/copyhold"}, outside: "none", may: "env http"},
	"scripts/manual":            {ours: []string{"internal/cli"}, may: "env"},
	"bench":                     {ours: []string{"*"}, may: "env sql http"},
	"bench/torture":             {ours: []string{"*"}, may: "env sql http"},
}

// A room says what one package may import. Ours lists packages of ours ("*" is
// the wiring). Outside "none" forbids third-party modules. Pure forbids I/O,
// clocks and randomness. May grants "env" (environment and exit), "sql"
// (database/sql) and "http" (net/http and net).
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

func TestHouseHasOnlyKnownRoomsAndArrows(t *testing.T) {
	for dir, files := range packages(t, ".") {
		if strings.HasPrefix(dir, "sdk") || strings.HasPrefix(dir, "deploy") { // modules of their own
			continue
		}
		r, known := rooms[dir]
		if !known {
			t.Errorf("%s is not in the table of rooms: add it with what it may import, or put the code where it belongs", dir)
			continue
		}
		for _, f := range files {
			checkImports(t, dir, r, f)
			checkCalls(t, dir, r, f)
		}
	}
}

// sdkModules are the modules beside the SDK, with the third-party code that each may use.
var sdkModules = map[string]string{
	"sdk/copyholdgrpc":        "google.golang.org/",
	"sdk/copyholdopenfeature": "github.com/open-feature/go-sdk/",
	"sdk/copyholdotel":        "go.opentelemetry.io/otel",
}

func TestSDKUsesOnlyTheStandardLibrary(t *testing.T) {
	for dir, files := range packages(t, "sdk") {
		if _, apart := sdkModules[dir]; apart {
			continue
		}
		for _, f := range files {
			for _, spec := range f.ast.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				first, _, _ := strings.Cut(path, "/")
				if strings.Contains(first, ".") && !strings.HasPrefix(path, "copyhold.dev/sdk") {
					t.Errorf("%s imports %s: customers inherit nothing from the SDK", filepath.Join(dir, f.name), path)
				}
			}
		}
	}
	mod, err := os.ReadFile("sdk/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "require") {
		t.Error("sdk/go.mod requires a module")
	}
}

func TestModulesBesideTheSDKUseOneThingEach(t *testing.T) {
	all := packages(t, "sdk")
	for dir, outside := range sdkModules {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
			t.Errorf("%s is no module of its own: customers of the SDK inherit what it uses", dir)
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

// TestSDKNeedsNoNewerGo holds the SDK's imports to the Go version of its go.mod. Vet does so
// for functions and types, and does not notice a package that is new as a whole.
func TestSDKNeedsNoNewerGo(t *testing.T) {
	mod, err := os.ReadFile("sdk/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindSubmatch(mod)
	if version == nil {
		t.Fatal("sdk/go.mod names no Go version")
	}
	ours, _ := strconv.Atoi(string(version[1]))
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	lists, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "api", "go1*.txt"))
	if err != nil || len(lists) == 0 {
		t.Skip("this Go comes without its api folder")
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
		t.Fatalf("testing/synctest is of Go 1.%d: the api folder is not read right", since["testing/synctest"])
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

// sdkRooms are the packages of the SDK and what they may import of each other.
var sdkRooms = map[string][]string{
	"sdk/license":             {},
	"sdk/internal/simulation": {},
	"sdk/copyhold":            {"sdk/license", "sdk/internal/simulation"},
	"sdk/copyholdtest":        {"sdk/license", "sdk/internal/simulation", "sdk/copyhold"},
	"sdk/copyholdgrpc":        {"sdk/license", "sdk/copyhold"},
	"sdk/copyholdopenfeature": {"sdk/license", "sdk/copyhold"},
	"sdk/copyholdotel":        {"sdk/license", "sdk/copyhold"},
}

// TestSDKHasOnlyKnownRoomsAndArrows also keeps licenses for tests out of programs: nothing
// but tests imports copyholdtest.
func TestSDKHasOnlyKnownRoomsAndArrows(t *testing.T) {
	for dir, files := range packages(t, ".") {
		allowed, known := sdkRooms[dir]
		if !known && strings.HasPrefix(dir, "sdk") {
			t.Errorf("%s is not in the table of the SDK's rooms", dir)
		}
		for _, f := range files {
			for _, spec := range f.ast.Imports {
				path, _ := strconv.Unquote(spec.Path.Value)
				ours, isOurs := strings.CutPrefix(path, "copyhold.dev/")
				if ours == "sdk/copyholdtest" || known && isOurs && !slices.Contains(allowed, ours) {
					t.Errorf("%s may not import %s", filepath.Join(dir, f.name), path)
				}
			}
		}
	}
}

func TestNoAtticsAndEveryRoomIsExplained(t *testing.T) {
	for dir, files := range packages(t, ".") {
		if slices.Contains(attics, filepath.Base(dir)) {
			t.Errorf("%s: name a package after the thing it knows", dir)
		}
		explained := slices.ContainsFunc(files, func(f file) bool { return f.ast.Doc != nil })
		if !explained {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func TestNoPackageState(t *testing.T) {
	for dir, files := range packages(t, ".") {
		for _, f := range files {
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s has an init function", filepath.Join(dir, f.name))
				}
			}
		}
	}
}

func checkImports(t *testing.T, dir string, r room, f file) {
	t.Helper()
	for _, spec := range f.ast.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		where := filepath.Join(dir, f.name)
		ours, isOurs := strings.CutPrefix(path, "copyhold.dev/")
		first, _, _ := strings.Cut(path, "/")
		switch {
		case isOurs:
			if !slices.Contains(r.ours, "*") && !slices.Contains(r.ours, ours) {
				t.Errorf("%s may not import %s", where, ours)
			}
		case strings.Contains(first, "."):
			if r.outside == "none" {
				t.Errorf("%s may not import the third-party %s", where, path)
			}
		case r.pure && slices.Contains(impure, path):
			t.Errorf("%s is pure and may not import %s", where, path)
		case guarded[path] != "" && !strings.Contains(r.may, guarded[path]):
			t.Errorf("%s may not import %s", where, path)
		}
	}
}

// checkCalls holds the rules that imports alone cannot show.
func checkCalls(t *testing.T, dir string, r room, f file) {
	t.Helper()
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok || pkg.Obj != nil {
			return true
		}
		call := pkg.Name + "." + sel.Sel.Name
		where := filepath.Join(dir, f.name)
		switch call {
		case "time.Now", "time.Since", "time.Until", "time.After", "time.NewTimer", "time.NewTicker":
			if r.pure {
				t.Errorf("%s calls %s: time is an argument of a rule", where, call)
			}
		case "os.Getenv", "os.LookupEnv", "os.Environ", "os.Exit":
			if !strings.Contains(r.may, "env") && dir != "cmd/copyhold" {
				t.Errorf("%s calls %s: environment and exit belong to config and cli", where, call)
			}
		case "slog.Default", "slog.SetDefault", "http.DefaultClient", "prometheus.MustRegister", "prometheus.DefaultRegisterer":
			t.Errorf("%s uses %s: pass it in", where, call)
		}
		return true
	})
}

type file struct {
	name string
	ast  *ast.File
}

// packages parses every non-test Go file below root, by directory. Programs
// under testdata are not part of the house.
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
		parsed, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		found[dir] = append(found[dir], file{filepath.Base(path), parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no packages below %s: the test looks in the wrong place", root)
	}
	return found
}
