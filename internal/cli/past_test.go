package cli

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/authority/recovery"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	"copyhold.dev/internal/store/sqlite"
	"copyhold.dev/internal/store/storetest"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// A past is a copy of the files that an earlier commit's program left behind. README.md next to the
// archive describes them.
type past struct {
	dir     string
	at      time.Time // when the files were left
	waiting int       // number of tickets
}

func (p past) path(name ...string) string {
	return filepath.Join(append([]string{p.dir}, name...)...)
}

func unpackPast(t *testing.T) past {
	t.Helper()
	p := past{dir: t.TempDir()}
	archive, err := os.Open(filepath.Join("..", "..", "sdk", "copyhold", "testdata", "past", "45dee72.tar.gz"))
	must(t, err)
	defer archive.Close()
	unzipped, err := gzip.NewReader(archive)
	must(t, err)
	for files := tar.NewReader(unzipped); ; {
		f, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		name := p.path(filepath.FromSlash(f.Name))
		if f.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(name, 0o700))
			continue
		}
		text, err := io.ReadAll(files)
		must(t, err)
		must(t, os.WriteFile(name, text, f.FileInfo().Mode()))
	}
	var left struct {
		At      time.Time
		Waiting int
	}
	p.read(t, "past", &left)
	p.at, p.waiting = left.At, left.Waiting
	return p
}

// read reads one of the lists that the earlier program printed.
func (p past) read(t *testing.T, list string, into any) {
	t.Helper()
	text, err := os.ReadFile(p.path("lists", list+".json"))
	must(t, err)
	must(t, json.Unmarshal(text, into))
}

// A pastServer is the current server on the old files, at a time that the test chooses.
type pastServer struct {
	past
	url      string
	restored bool // from the backup: its log has a new epoch, for which no head was saved
}

// serve starts a server on db. Its time is now when the test begins. The folder contains the
// sealing key.
func (p past) serve(t *testing.T, db *store.DB, folder string, now time.Time) pastServer {
	t.Helper()
	began := time.Now()
	db.Now = func() time.Time { return now.Add(time.Since(began)) }
	log, instruments := slog.New(slog.DiscardHandler), metrics.New(db.Now)
	a := authority.New(ledger.Config{DB: db, Ring: p.ring(t), Dir: folder, Log: log, Metrics: instruments})
	t.Cleanup(a.Close)
	must(t, a.Start(t.Context()))
	runJobs(t, a)
	handler, err := api.New(api.Config{Authority: a, Metrics: instruments, Log: log, Now: db.Now, Version: "test"})
	must(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Cleanup(handler.Stop) // ends the streams, so that Close does not wait for them
	return pastServer{p, server.URL, folder != p.path("data")}
}

func (p past) ring(t *testing.T) *signing.Ring {
	t.Helper()
	sealing, err := signing.SealingSource{File: p.path("data", sealingKeyFile)}.Load(false)
	must(t, err)
	return signing.NewRing(sealing)
}

// restore restores the backup to db and returns the folder for it.
func (p past) restore(t *testing.T, db *store.DB) string {
	t.Helper()
	folder := t.TempDir()
	db.Now = func() time.Time { return p.at.Add(time.Second) } // a restore records its time
	backup, err := os.Open(p.path("past.backup"))
	must(t, err)
	defer backup.Close()
	restored, err := recovery.Restore(t.Context(), ledger.Config{DB: db, Ring: p.ring(t), Dir: folder, Log: slog.New(slog.DiscardHandler)}, backup)
	must(t, err)
	if len(restored.Mismatches) > 0 {
		t.Errorf("rows of the backup do not match its log: %v", restored.Mismatches)
	}
	return folder
}

// run runs a command with a token and returns what it printed.
func (s pastServer) run(t *testing.T, want int, token, environment string, args ...string) map[string]any {
	t.Helper()
	var out, errs bytes.Buffer
	got := Main(Program{
		Args: append(append([]string{"copyhold"}, args...), "--output", "json"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Environ: []string{"COPYHOLD_URL=" + s.url, "COPYHOLD_TOKEN_FILE=" + token, "COPYHOLD_ENVIRONMENT=" + environment},
	})
	if got != want {
		t.Errorf("copyhold %s: exit status %d, not %d: %s%s", strings.Join(args, " "), got, want, out.String(), errs.String())
	}
	var members map[string]any
	_ = json.Unmarshal(out.Bytes(), &members) // a command that failed printed nothing
	return members
}

func (s pastServer) asOwner(t *testing.T, args ...string) map[string]any {
	t.Helper()
	return s.run(t, exitDone, s.path("data", ownerTokenFile), "production", args...)
}

// face returns a command line that uses the key of a license.
func (s pastServer) face(reference string) commandLine {
	return commandLine{s.url, s.path("keys", reference+".key")}
}

// opened runs a test for each way in which the current program opens the old files.
func opened(t *testing.T, test func(t *testing.T, open func(t *testing.T, later time.Duration) pastServer)) {
	t.Helper()
	ways := map[string]func(t *testing.T, later time.Duration) pastServer{
		"data folder": func(t *testing.T, later time.Duration) pastServer {
			p := unpackPast(t)
			db, err := sqlite.Open(t.Context(), p.path("data", databaseFile))
			must(t, err)
			t.Cleanup(func() { _ = db.Close() })
			return p.serve(t, db, p.path("data"), p.at.Add(later))
		},
		"backup into SQLite": func(t *testing.T, later time.Duration) pastServer {
			p, db := unpackPast(t), storetest.SQLite(t)
			return p.serve(t, db, p.restore(t, db), p.at.Add(later))
		},
		"backup into PostgreSQL": func(t *testing.T, later time.Duration) pastServer {
			p, db := unpackPast(t), storetest.Postgres(t)
			return p.serve(t, db, p.restore(t, db), p.at.Add(later))
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, way)
		})
	}
}

// Open an earlier commit's data folder and backup a second after they were left: everything that
// was listed then is listed now.
func TestAnEarlierProgramsRecordIsAllThere(t *testing.T) {
	t.Parallel()
	opened(t, func(t *testing.T, open func(*testing.T, time.Duration) pastServer) {
		s := open(t, time.Second)
		s.holds(t, "licenses", "leases", "usage", "tokens", "environments", "customers", "plans")
		s.verifies(t)
		s.authenticates(t)
	})
}

// Open them after years without a server: everything without an end is still there, the log
// verifies, and tokens and keys are known.
func TestAnEarlierProgramsRecordOpensYearsLater(t *testing.T) {
	t.Parallel()
	opened(t, func(t *testing.T, open func(*testing.T, time.Duration) pastServer) {
		for _, later := range []time.Duration{400 * 24 * time.Hour, 8 * 365 * 24 * time.Hour} {
			s := open(t, later)
			s.holds(t, "customers", "environments", "plans", "licenses")
			s.verifies(t)
			s.face("classic").feature(t, "export") // the status is not 401
		}
	})
}

// Applying every example to an earlier commit's data moves no license, although the ids of
// revisions then included their channel. Each revision is known by its old id and its new one.
func TestApplyingTheExamplesToAnEarlierProgramsRecordMovesNoLicense(t *testing.T) {
	t.Parallel()
	opened(t, func(t *testing.T, open func(*testing.T, time.Duration) pastServer) {
		s := open(t, time.Second)
		var before struct {
			Items []struct{ Plan, Revision string }
		}
		s.read(t, "plans", &before)
		s.asOwner(t, "plan", "diff", filepath.Join(examples(), "plans")) // exit status 0: nothing changes
		applied := s.asOwner(t, "plan", "apply", filepath.Join(examples(), "plans"), "--licenses", "all", "--yes")
		if applied["moving"] != float64(0) || applied["moves"] != nil {
			t.Errorf("%v move: %v", applied["moving"], applied["moves"])
		}
		for _, plan := range before.Items {
			if shown := s.asOwner(t, "plan", "show", plan.Plan, "--revision", plan.Revision[:12]); shown["revision"] != plan.Revision {
				t.Errorf("revision %s of plan %s is shown as %v", plan.Revision, plan.Plan, shown["revision"])
			}
		}
		s.holds(t, "licenses", "plans")
	})
}

// holds compares lists with those that the earlier program printed. New members are allowed.
func (s pastServer) holds(t *testing.T, lists ...string) {
	t.Helper()
	for _, list := range lists {
		var want, got any
		s.read(t, list, &want)
		noun := strings.TrimSuffix(list, "s")
		verb := "list"
		if list == "usage" {
			noun, verb = list, "show"
		}
		got = map[string]any(s.asOwner(t, noun, verb))
		if missing := lacks(want, got, list); missing != "" {
			t.Error(missing)
		}
	}
}

// lacks returns the first path at which got differs from want, or "" if got contains all of want.
func lacks(want, got any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		members, _ := got.(map[string]any)
		for _, name := range sortedKeys(want) {
			if missing := lacks(want[name], members[name], at+"."+name); missing != "" {
				return missing
			}
		}
	case []any:
		items, _ := got.([]any)
		if len(items) != len(want) {
			return fmt.Sprintf("%s: %d in place of %d", at, len(items), len(want))
		}
		for i := range want {
			if missing := lacks(want[i], items[i], fmt.Sprint(at, ".", i)); missing != "" {
				return missing
			}
		}
	default:
		if want != got {
			return fmt.Sprintf("%s: %v in place of %v", at, got, want)
		}
	}
	return ""
}

// verifies checks the log of each environment and the exported log. It checks production's log
// against the saved head.
func (s pastServer) verifies(t *testing.T) {
	t.Helper()
	verify := []string{"audit", "verify"}
	if !s.restored {
		verify = append(verify, "--head", s.path("log.head"))
	}
	s.asOwner(t, verify...)
	s.asOwner(t, "audit", "verify", s.path("log.jsonl"), "--head", s.path("log.head"))
	for _, environment := range []string{"staging", "development", "training"} {
		s.run(t, exitDone, s.path("data", ownerTokenFile), environment, "audit", "verify")
	}
}

// authenticates uses every token and every key.
func (s pastServer) authenticates(t *testing.T) {
	t.Helper()
	for token, want := range map[string]int{"admin": exitDone, "viewer": exitDone, "issuer-lathe": exitDone, "acme": exitDone, "ended": exitFailed} {
		s.run(t, want, s.path("tokens", token+".token"), "production", "license", "list")
	}
	keys, err := filepath.Glob(s.path("keys", "*.key"))
	must(t, err)
	for _, key := range keys {
		reference := strings.TrimSuffix(filepath.Base(key), ".key")
		feature := map[string]string{"cloud": "api", "cloud-offline": "api", "platform": "api", "render": "render"}[reference]
		d := s.face(reference).feature(t, cmp.Or(feature, "export"))
		want := map[string]string{"suspended": license.CodeSuspended, "revoked": license.CodeRevoked, "fallback": license.CodeRevoked}[reference]
		if d.Code != cmp.Or(want, license.CodeOK) {
			t.Errorf("the key of %s: %+v", reference, d)
		}
	}
}

// The seats in an earlier commit's data folder are still held, as if the server had never stopped:
// a repeated request gets its lease, the full pool denies, and a job waits.
func TestAnEarlierProgramsSeatsAreStillHeld(t *testing.T) {
	t.Parallel()
	p := unpackPast(t)
	db, err := sqlite.Open(t.Context(), p.path("data", databaseFile))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s := p.serve(t, db, p.path("data"), p.at.Add(time.Second))
	var leases struct {
		Items []struct{ ID, License, Pool string }
	}
	p.read(t, "leases", &leases)
	first := leases.Items[0]
	key, err := os.ReadFile(p.path("keys", "studio.key"))
	must(t, err)
	members := bareHTTP{s.url, strings.TrimSpace(string(key))}.ask(t, http.MethodPost, "/v1/leases", map[string]any{
		"request_id": "past-seats-ann", "pool": "seats", "units": 1, "instance": "one", "service": "mill", "region": "eu", "holder": map[string]any{"kind": "user", "id": "ann"},
	})
	h := readHeld(t, members)
	if h.id != first.ID || first.Pool != "seats" {
		t.Errorf("the repeated request of lease %s got %s", first.ID, h.id)
	}
	studio := s.face("studio")
	if _, d := studio.take(t, person("seats", "cy")); d.Code != license.CodePoolFull {
		t.Errorf("a third seat of two: %+v", d)
	}
	studio.release(t, h)
	freed, _ := studio.take(t, person("seats", "cy"))
	studio.release(t, freed)
	var waiting float64
	pools, _ := s.asOwner(t, "status")["pools"].([]any)
	for _, pool := range pools {
		n, _ := pool.(map[string]any)["waiting"].(float64)
		waiting += n
	}
	if int(waiting) != p.waiting {
		t.Errorf("%v jobs wait, %d did", waiting, p.waiting)
	}
	s.asOwner(t, "why", "past-seats-cy")
	s.verifies(t)
}

// Programs of an earlier commit can continue with their caches: they have full function, usage in
// the spool arrives once, and they follow the root sets published since.
func TestAnEarlierSDKsCacheGoesOn(t *testing.T) {
	t.Parallel()
	p := unpackPast(t)
	db, err := sqlite.Open(t.Context(), p.path("data", databaseFile))
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s := p.serve(t, db, p.path("data"), p.at.Add(time.Minute))
	usage := s.program(t, "cloud-offline", "cache-usage")
	if !usage.Enabled("api") || usage.Why().Usage != 3 {
		t.Errorf("%s", usage.Why())
	}
	must(t, usage.Close())
	used := map[string]any{}
	items, _ := s.asOwner(t, "usage", "show")["items"].([]any)
	for _, item := range items {
		total, _ := item.(map[string]any)
		if last, _ := total["last"].(map[string]any); last["service"] == "mill" {
			used[fmt.Sprint(total["meter"])] = total["used"]
		}
	}
	if used["calls"] != "23" || used["hours"] != "1.25" {
		t.Errorf("5 and 18 calls and 1.25 hours were recorded, and %v counted", used)
	}
	seat := s.program(t, "studio-away", "cache-seat")
	if !seat.Enabled("export") {
		t.Errorf("%s", seat.Why())
	}
	lease, err := seat.Acquire(t.Context(), "seats", copyhold.AcquireOptions{For: 20 * 24 * time.Hour})
	must(t, err)
	must(t, lease.Release(t.Context()))
	must(t, seat.Close())
	s.verifies(t)
}

// program opens a program on an old cache.
func (s pastServer) program(t *testing.T, reference, cache string) *copyhold.Client {
	t.Helper()
	root, err := os.ReadFile(s.path("root-set.json"))
	must(t, err)
	c, err := copyhold.Open(t.Context(), copyhold.Options{
		Endpoints: []string{s.url}, KeyFile: s.path("keys", reference+".key"), Product: "lathe", RootSet: root, CacheDir: s.path(cache),
		Holder: &copyhold.Holder{Kind: "workload", ID: "past"}, User: "ann", Service: "mill", Version: "2.0.0", Wait: patience,
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// The current program serves an earlier commit's data folder with the machine's own clock, whatever
// time it shows.
func TestServeStartsOnAnEarlierProgramsDataFolder(t *testing.T) {
	t.Parallel()
	p := unpackPast(t)
	server, err := startTestServer(p.path("data"), authority.FirstEnvironments())
	must(t, err)
	s := pastServer{past: p, url: server.URL()}
	s.holds(t, "customers", "environments", "plans", "licenses")
	s.verifies(t)
	must(t, server.close())
}

// License files of an earlier commit verify from the first root set.
func TestAnEarlierProgramsLicenseFilesVerify(t *testing.T) {
	t.Parallel()
	p := unpackPast(t)
	for _, file := range []string{"classic.license", "team.license"} { // one as JSON, one armored
		for _, later := range []time.Duration{time.Minute, 60 * 24 * time.Hour, 360 * 24 * time.Hour} {
			status, out, errs := commandLine{}.try("verify", p.path(file), "--root-set", p.path("root-set.json"), "--at", p.at.Add(later).Format(time.RFC3339))
			if status != exitDone {
				t.Errorf("%s after %v: exit status %d: %s%s", file, later, status, out, errs)
			}
		}
	}
}
