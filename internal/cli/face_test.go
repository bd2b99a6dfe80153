package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/seat"
	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// A face is a way to use a license: bare HTTP, the command line, the SDK.
type face interface {
	// take acquires units, or returns the decision that refuses them.
	take(t *testing.T, a asking) (held, license.Decision)
	release(t *testing.T, h held)
	// feature checks a feature by name.
	feature(t *testing.T, name string) license.Decision
	// use records usage and returns the decision.
	use(t *testing.T, id, meter, quantity string) license.Decision
}

// An asking contains the parameters of an acquire.
type asking struct {
	pool, kind, holder string
	units              int64
	length, wait       time.Duration
	components         map[string]string // of a machine
}

// body returns a as the body of a request.
func (a asking) body() map[string]any {
	who := map[string]any{"kind": a.kind, "id": a.holder}
	if a.components != nil {
		who["components"] = a.components
	}
	return map[string]any{
		"request_id": seat.NewRequestID(), "pool": a.pool, "units": a.units, "instance": "http", "holder": who, "service": "render", "region": "eu",
		"for": int64(a.length / time.Second), "wait": int64(a.wait / time.Second),
	}
}

// held identifies acquired units in the way that a face needs to release them.
type held struct {
	id         string
	generation int64
	lease      *copyhold.Lease
}

// bareHTTP uses only net/http and JSON.
type bareHTTP struct{ url, key string }

func (f bareHTTP) ask(t *testing.T, method, path string, body any) map[string]json.RawMessage {
	t.Helper()
	text, err := json.Marshal(body)
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, bytes.NewReader(text))
	must(t, err)
	req.Header.Set("Authorization", "License "+f.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	must(t, err)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || (res.StatusCode >= 300 && members["decision"] == nil) {
		t.Fatalf("%s %s: %s %s", method, path, res.Status, text)
	}
	return members
}

func (f bareHTTP) take(t *testing.T, a asking) (held, license.Decision) {
	t.Helper()
	got := f.ask(t, http.MethodPost, "/v1/leases", a.body())
	return readHeld(t, got), readDecision(t, got)
}

func readHeld(t *testing.T, members map[string]json.RawMessage) (h held) {
	t.Helper()
	if members["lease"] != nil {
		must(t, json.Unmarshal(members["id"], &h.id))
		must(t, json.Unmarshal(members["generation"], &h.generation))
	}
	return h
}

func readDecision(t *testing.T, members map[string]json.RawMessage) (d license.Decision) {
	t.Helper()
	must(t, json.Unmarshal(members["decision"], &d))
	return d
}

func (f bareHTTP) release(t *testing.T, h held) {
	t.Helper()
	f.ask(t, http.MethodDelete, fmt.Sprintf("/v1/leases/%s?generation=%d", h.id, h.generation), map[string]any{})
}

func (f bareHTTP) feature(t *testing.T, name string) license.Decision {
	t.Helper()
	return readDecision(t, f.ask(t, http.MethodPost, "/v1/check", map[string]any{"feature": name}))
}

func (f bareHTTP) use(t *testing.T, id, meter, quantity string) license.Decision {
	t.Helper()
	var results []map[string]json.RawMessage
	got := f.ask(t, http.MethodPost, "/v1/usage", map[string]any{"events": []any{map[string]any{"id": id, "meter": meter, "quantity": quantity}}})
	must(t, json.Unmarshal(got["results"], &results))
	return readDecision(t, results[0])
}

// commandLine runs the program's commands in this process.
type commandLine struct{ url, keyFile string }

func (f commandLine) run(t *testing.T, args ...string) (status int, members map[string]json.RawMessage) {
	t.Helper()
	status, out, errs := f.try(args...)
	if err := json.Unmarshal(out, &members); err != nil {
		t.Fatalf("copyhold %s: exit status %d: %s%s", strings.Join(args, " "), status, out, errs)
	}
	return status, members
}

func (f commandLine) try(args ...string) (status int, out, errs []byte) {
	var stdout, stderr bytes.Buffer
	status = Main(Program{
		Args: append(append([]string{"copyhold"}, args...), "--output", "json"), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Environ: []string{"COPYHOLD_URL=" + f.url, "COPYHOLD_LICENSE_KEY_FILE=" + f.keyFile, "COPYHOLD_SERVICE=render", "COPYHOLD_REGION=eu"},
	})
	return status, stdout.Bytes(), stderr.Bytes()
}

// decided checks that the exit status matches the decision.
func (f commandLine) decided(t *testing.T, status int, d license.Decision) license.Decision {
	t.Helper()
	if (status == exitDenied) != (d.Outcome == license.Denied) {
		t.Errorf("exit status %d for %+v", status, d)
	}
	return d
}

func (f commandLine) take(t *testing.T, a asking) (held, license.Decision) {
	t.Helper()
	args := []string{"lease", "acquire", "--pool", a.pool, "--holder", a.kind + ":" + a.holder, "--instance", "cli", "--units", fmt.Sprint(a.units)}
	for flag, length := range map[string]time.Duration{"--for": a.length, "--wait": a.wait} {
		if length > 0 {
			args = append(args, flag, length.String())
		}
	}
	for name, hash := range a.components {
		args = append(args, "--component", name+"="+hash)
	}
	status, got := f.run(t, args...)
	d := readDecision(t, got)
	if d.Code == license.CodeFallback {
		return held{}, d
	}
	return readHeld(t, got), f.decided(t, status, d)
}

func (f commandLine) release(t *testing.T, h held) {
	t.Helper()
	if status, got := f.run(t, "lease", "release", h.id, "--generation", fmt.Sprint(h.generation)); status != 0 {
		t.Fatalf("exit status %d: %s", status, got)
	}
}

func (f commandLine) feature(t *testing.T, name string) license.Decision {
	t.Helper()
	status, got := f.run(t, "check", "--feature", name)
	return f.decided(t, status, readDecision(t, got))
}

func (f commandLine) use(t *testing.T, id, meter, quantity string) license.Decision {
	t.Helper()
	status, got := f.run(t, "usage", "record", meter, quantity, "--id", id)
	var results []map[string]json.RawMessage
	must(t, json.Unmarshal(got["results"], &results))
	return f.decided(t, status, readDecision(t, results[0]))
}

// library is a program with the SDK.
type library struct {
	open   func() *copyhold.Client
	client *copyhold.Client
}

func (f *library) take(t *testing.T, a asking) (held, license.Decision) {
	t.Helper()
	l, err := f.client.Acquire(t.Context(), a.pool, copyhold.AcquireOptions{
		Units: a.units, For: a.length, Wait: a.wait, Holder: &copyhold.Holder{Kind: a.kind, ID: a.holder, Components: a.components},
	})
	if d := (*copyhold.DecisionError)(nil); errors.As(err, &d) {
		return held{}, d.Decision
	}
	must(t, err)
	return held{id: l.ID(), lease: l}, l.Decision()
}

func (f *library) release(t *testing.T, h held) {
	t.Helper()
	must(t, h.lease.Release(t.Context()))
}

func (f *library) feature(_ *testing.T, name string) license.Decision { return f.client.Check(name) }

// use records usage and closes the program, which sends it.
func (f *library) use(t *testing.T, id, meter, quantity string) license.Decision {
	t.Helper()
	c := f.open()
	must(t, c.RecordUsage(copyhold.Usage{ID: id, Meter: meter, Quantity: quantity}))
	must(t, c.Close())
	return c.Quota(meter)
}
