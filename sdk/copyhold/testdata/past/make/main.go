// Make fills the working folder with files from the program of an earlier commit: a data folder, a
// backup, the caches of two programs, an exported log, license files, and lists of their content.
// The script make.sh builds it with that commit's SDK and runs it:
//
//	make COPYHOLD PLANS
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"copyhold.dev/sdk/copyhold"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: make COPYHOLD PLANS")
	}
	m := &maker{binary: os.Args[1], licenses: map[string]string{}}
	for _, dir := range []string{"keys", "tokens", "lists"} {
		check(os.Mkdir(dir, 0o700))
	}
	m.start()
	m.administer(os.Args[2])
	m.sell()
	m.use()
	seat := m.program("studio-away", "ann", "cache-seat")
	_, err := seat.Acquire(context.Background(), "seats", copyhold.AcquireOptions{For: 20 * 24 * time.Hour})
	check(err)
	usage := m.program("cloud-offline", "", "cache-usage")
	check(usage.RecordUsage(copyhold.Usage{ID: "sent-1", Meter: "calls", Quantity: "5"}))
	m.rotate()
	follows("cache-seat")
	follows("cache-usage")
	check(seat.Close()) // the seat is borrowed, so Close keeps it
	check(usage.Close())
	m.punish()
	stopWaiting := m.wait()
	m.list()
	stopWaiting()
	m.stop()
	m.spool()
	check(os.Remove("data/copyhold.db.lock"))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A maker drives one server.
type maker struct {
	binary   string
	url      string
	server   *exec.Cmd
	licenses map[string]string // id by reference
}

func (m *maker) start() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	address := l.Addr().String()
	check(l.Close())
	m.url = "http://" + address
	m.server = exec.Command(m.binary, "serve", "--data", "data", "--listen", address, "--log-level", "warn")
	m.server.Stderr = os.Stderr
	check(m.server.Start())
	for {
		r, err := http.Get(m.url + "/readyz")
		if err == nil {
			check(r.Body.Close())
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (m *maker) stop() {
	check(m.server.Process.Signal(syscall.SIGTERM))
	check(m.server.Wait())
}

// in runs a command as the owner of an environment and returns its output.
func (m *maker) in(environment string, args ...string) map[string]any {
	c := exec.Command(m.binary, append(args, "--output", "json")...)
	c.Env = append(os.Environ(), "COPYHOLD_URL="+m.url, "COPYHOLD_TOKEN_FILE=data/owner.token", "COPYHOLD_ENVIRONMENT="+environment)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		log.Fatalf("%s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	var answer map[string]any
	_ = json.Unmarshal(out, &answer) // some commands print nothing
	return answer
}

func (m *maker) run(args ...string) map[string]any { return m.in("production", args...) }

// sure runs a command that asks for confirmation, except in early commits.
func (m *maker) sure(noun, verb string, args ...string) {
	help, err := exec.Command(m.binary, noun, verb, "--help").Output()
	check(err)
	if bytes.Contains(help, []byte("--yes")) {
		args = append(args, "--yes")
	}
	m.run(append([]string{noun, verb}, args...)...)
}

// ask sends a program's request and returns the answer's status and members.
func (m *maker) ask(ctx context.Context, reference, path string, body map[string]any) (int, map[string]any, error) {
	key, err := os.ReadFile("keys/" + reference + ".key")
	check(err)
	text, err := json.Marshal(body)
	check(err)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+path, bytes.NewReader(text))
	check(err)
	r.Header.Set("Authorization", "License "+strings.TrimSpace(string(key)))
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	check(err)
	var answer map[string]any
	check(json.Unmarshal(text, &answer))
	return res.StatusCode, answer, nil
}

// expect is ask, but it ends the program if the status is different.
func (m *maker) expect(status int, reference, path string, body map[string]any) {
	got, answer, err := m.ask(context.Background(), reference, path, body)
	check(err)
	if got != status {
		log.Fatalf("%s %s %v: %d %v", reference, path, body, got, answer)
	}
}

// administer creates environments, a product, plans, customers, and tokens.
func (m *maker) administer(plans string) {
	m.run("environment", "create", "training", "--kind", "development")
	for _, environment := range []string{"production", "staging", "training"} {
		m.in(environment, "product", "create", "lathe", "--title", "Lathe", "--team", "cam", "--pager", "cam-oncall@example.com", "--runbook", "https://example.com/runbooks/lathe")
		m.in(environment, "plan", "apply", plans, "--yes")
	}
	m.customer("acme", "Acme Ltd")
	m.customer("mueller", "Müller & Söhne GmbH")
	m.run("signing-key", "root", "show", "--to", "root-set.json")
	for name, args := range map[string][]string{
		"admin": {"--role", "admin"}, "viewer": {"--role", "viewer"}, "issuer-lathe": {"--role", "issuer", "--product", "lathe"},
		"acme": {"--role", "customer", "--customer", m.licenses["customer-acme"]}, "ended": {"--role", "viewer"},
	} {
		m.run(append([]string{"token", "create", name, "--to", "tokens/" + name + ".token", "--expires-in", "365d"}, args...)...)
	}
	tokens, _ := m.run("token", "list")["items"].([]any)
	for _, t := range tokens {
		if token, _ := t.(map[string]any); token["name"] == "ended" {
			m.sure("token", "revoke", fmt.Sprint(token["id"]))
		}
	}
}

func (m *maker) customer(reference, name string) {
	m.licenses["customer-"+reference] = fmt.Sprint(m.run("customer", "create", name, "--email", "licenses@"+reference+".example", "--reference", reference)["id"])
}

func (m *maker) issue(plan, reference, customer string, args ...string) {
	issued := m.run(append([]string{"license", "issue", plan, "--product", "lathe", "--customer", m.licenses["customer-"+customer],
		"--reference", reference, "--to", "keys/" + reference + ".key"}, args...)...)
	l, _ := issued["license"].(map[string]any)
	m.licenses[reference] = fmt.Sprint(l["id"])
}

// sell issues a license of each plan and puts some in other states.
func (m *maker) sell() {
	for _, plan := range []string{"studio", "render", "workshop", "drafting", "classic", "trial", "cloud", "platform", "fast"} {
		m.issue(plan, plan, "acme")
	}
	m.issue("team", "team", "mueller", "--addon", "seats-5=2", "--addon", "render-farm")
	m.issue("studio", "studio-away", "acme", "--capacity", "seats=3")
	m.issue("cloud", "cloud-offline", "mueller")
	m.issue("studio", "suspended", "acme")
	m.issue("studio", "revoked", "acme")
	m.issue("studio", "fallback", "acme")
	m.issue("drafting", "rotated", "acme")
	m.issue("classic", "moved", "acme")
	m.run("license", "change", m.licenses["team"], "--pool", "seats=+3", "--until", "2027-06-30", "--reason", "release week")
	m.run("license", "change", m.licenses["team"], "--feature", "simulate=true", "--reason", "as agreed")
	m.run("license", "change", m.licenses["team"], "--edition", "basic", "--at-renewal")
	m.run("license", "transfer", m.licenses["moved"], "--customer", m.licenses["customer-mueller"])
	check(os.WriteFile("import.csv", []byte("key,customer,plan,product,reference\nPAST-KEY-OF-ANOTHER-SYSTEM-0001,ref:acme,classic,lathe,imported\n"), 0o600))
	m.run("license", "import", "import.csv")
	check(os.WriteFile("keys/imported.key", []byte("PAST-KEY-OF-ANOTHER-SYSTEM-0001\n"), 0o600))
	check(os.Remove("import.csv"))
}

func seat(pool, kind, holder string, units int) map[string]any {
	return map[string]any{
		"request_id": "past-" + pool + "-" + holder, "pool": pool, "units": units, "instance": "one", "service": "mill", "region": "eu",
		"holder": map[string]any{"kind": kind, "id": holder},
	}
}

func machine(name string) map[string]any {
	s := seat("machines", "machine", name, 1)
	s["holder"] = map[string]any{"kind": "machine", "id": name, "components": map[string]string{"board": name + "-b", "drive": name + "-d", "network": name + "-n"}}
	return s
}

func event(id, meter, quantity string) map[string]any {
	return map[string]any{"events": []any{map[string]any{"id": id, "meter": meter, "quantity": quantity}}}
}

// use holds seats of every kind, counts usage, and is denied.
func (m *maker) use() {
	for _, l := range []struct {
		reference string
		body      map[string]any
		status    int
	}{
		{"studio", seat("seats", "user", "ann", 1), 201},
		{"studio", seat("seats", "user", "bob", 1), 201},
		{"studio", seat("seats", "user", "cy", 1), 409},
		{"render", seat("jobs", "workload", "job-1", 1), 201},
		{"workshop", machine("mill-1"), 201},
		{"workshop", machine("mill-2"), 201},
		{"workshop", machine("mill-3"), 409},
		{"drafting", seat("users", "user", "ann", 1), 201},
		{"drafting", seat("users", "user", "büro-2", 1), 201},
		{"classic", machine("mill-1"), 201},
		{"trial", seat("seats", "user", "ann", 1), 201},
		{"platform", seat("services", "workload", "api", 2), 201},
		{"platform", seat("cores", "workload", "solver", 48), 201},
		{"team", seat("seats", "user", "ann", 1), 201},
		{"team", seat("render-nodes", "workload", "node-1", 4), 201},
		{"fast", seat("seats", "user", "ann", 1), 201},
	} {
		m.expect(l.status, l.reference, "/v1/leases", l.body)
	}
	for i, quantity := range []string{"700", "150", "100"} {
		m.expect(200, "cloud", "/v1/usage", event(fmt.Sprint("calls-", i), "calls", quantity))
	}
	m.expect(200, "cloud", "/v1/usage", event("hours-0", "hours", "41.25"))
	m.expect(200, "fast", "/v1/usage", event("calls-0", "calls", "5"))
	m.expect(200, "fast", "/v1/usage", event("calls-1", "calls", "1"))
}

// program opens a program with the SDK.
func (m *maker) program(reference, user, cache string) *copyhold.Client {
	root, err := os.ReadFile("root-set.json")
	check(err)
	c, err := copyhold.Open(context.Background(), copyhold.Options{
		Endpoints: []string{m.url}, KeyFile: "keys/" + reference + ".key", Product: "lathe", RootSet: root, CacheDir: cache,
		Holder: &copyhold.Holder{Kind: "workload", ID: "past"}, User: user, Service: "mill", Version: "1.0.0",
	})
	check(err)
	if !c.State().Full() {
		log.Fatal(c.Why())
	}
	return c
}

// follows waits until the program of a cache trusts the second root set.
func follows(cache string) {
	for {
		states, err := filepath.Glob(filepath.Join(cache, "slot-*", "state.*"))
		check(err)
		for _, state := range states {
			text, err := os.ReadFile(state)
			check(err)
			if bytes.Contains(text, []byte(`"rootsets":`)) {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// spool records usage that no server receives.
func (m *maker) spool() {
	c := m.program("cloud-offline", "", "cache-usage")
	for i, u := range []copyhold.Usage{{Meter: "calls", Quantity: "7"}, {Meter: "hours", Quantity: "1.25"}, {Meter: "calls", Quantity: "11"}} {
		u.ID = fmt.Sprint("spooled-", i)
		check(c.RecordUsage(u))
	}
	_ = c.Close() // no server accepts the usage
}

// rotate gives a license a new key, and the environment a new signing key and root set. A program
// that pins the first root set must follow.
func (m *maker) rotate() {
	check(os.Rename("keys/rotated.key", "keys/rotated-old.key"))
	m.sure("license", "rotate-key", m.licenses["rotated"], "--overlap", "7d", "--to", "keys/rotated.key")
	m.run("signing-key", "rotate")
	m.run("signing-key", "root", "export", "--to", "old-root.key")
	m.run("signing-key", "root", "new", "--to", "ceremony.json")
	m.run("signing-key", "root", "make", "ceremony.json", "--to", "new-root.key")
	m.run("signing-key", "root", "sign", "ceremony.json", "--key", "old-root.key", "--yes")
	m.run("signing-key", "root", "sign", "ceremony.json", "--key", "new-root.key", "--yes")
	m.run("signing-key", "root", "install", "ceremony.json", "--yes")
	m.run("signing-key", "root", "import", "new-root.key")
	m.run("signing-key", "rotate")
	for _, file := range []string{"old-root.key", "new-root.key", "ceremony.json"} {
		check(os.Remove(file))
	}
}

// punish suspends and revokes licenses, and erases an entry of the log.
func (m *maker) punish() {
	m.run("license", "suspend", m.licenses["suspended"], "--reason", "payment overdue")
	m.sure("license", "revoke", m.licenses["revoked"], "--reason", "key published")
	m.sure("license", "revoke", m.licenses["fallback"], "--reason", "ended by agreement", "--fallback")
	for _, reference := range []string{"suspended", "revoked", "fallback"} {
		m.expect(200, reference, "/v1/validate", map[string]any{"product": "lathe", "nonce": "past-" + reference})
	}
	m.run("audit", "erase", "5", "--reason", "as requested", "--yes")
}

// wait makes two jobs queue for the unit of a third, until the returned function is called.
func (m *maker) wait() func() {
	ctx, cancel := context.WithCancel(context.Background())
	for _, holder := range []string{"job-2", "job-3"} {
		body := seat("jobs", "workload", holder, 1)
		body["wait"] = 300
		before := m.waiting()
		go func() {
			if _, _, err := m.ask(ctx, "render", "/v1/leases", body); !errors.Is(err, context.Canceled) {
				log.Fatalf("%s did not wait: %v", holder, err)
			}
		}()
		for m.waiting() == before {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return cancel
}

func (m *maker) waiting() float64 {
	pools, _ := m.run("status")["pools"].([]any)
	var n float64
	for _, p := range pools {
		waiting, _ := p.(map[string]any)["waiting"].(float64)
		n += waiting
	}
	return n
}

// list writes the backup, files for machines without a network, and the lists that a server must
// return.
func (m *maker) list() {
	m.run("backup", "--to", "past.backup")
	m.run("license", "export", m.licenses["classic"], "--to", "classic.license")
	m.run("license", "export", m.licenses["team"], "--to", "team.license", "--format", "armour")
	m.run("audit", "export", "--to", "log.jsonl")
	m.run("audit", "head", "--to", "log.head")
	for name, args := range map[string][]string{
		"licenses": {"license", "list"}, "leases": {"lease", "list"}, "usage": {"usage", "show"}, "tokens": {"token", "list"},
		"environments": {"environment", "list"}, "customers": {"customer", "list"}, "plans": {"plan", "list"},
	} {
		m.write(filepath.Join("lists", name+".json"), m.run(args...))
	}
	m.write("lists/past.json", map[string]any{"at": time.Now().UTC().Format(time.RFC3339), "waiting": m.waiting()})
}

func (m *maker) write(name string, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	check(err)
	check(os.WriteFile(name, append(text, '\n'), 0o600))
}
