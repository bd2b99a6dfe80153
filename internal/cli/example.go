package cli

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"copyhold.dev/examples/plans"
	"copyhold.dev/internal/client"
	"copyhold.dev/internal/policy"
)

// exampleProduct is the product of the demo.
const exampleProduct = "lathe"

// A sale is one license of the demo: a plan and what it demonstrates.
type sale struct{ plan, shows string }

// sales returns the demo's licenses; each plan is a file in examples/plans.
func sales() []sale {
	return []sale{
		{"studio", "floating: 2 seats, the third is denied"},
		{"render", "floating for jobs: 1 seat, the others queue"},
		{"workshop", "node-locked: 2 machines"},
		{"drafting", "named users: 3 people"},
		{"team", "subscription with editions and add-ons"},
		{"classic", "perpetual with a year of maintenance"},
		{"trial", "a 14-day trial from first use"},
		{"cloud", "consumption: 1000 calls a month"},
		{"platform", "per service, and by core"},
		{"fast", "every license state within a minute"},
	}
}

// An exampleLicense is a license of the demo, in the form in which it is printed.
type exampleLicense struct {
	Plan    string `json:"plan"`
	Shows   string `json:"shows"`
	License string `json:"license"`
	Key     string `json:"key"`
	KeyFile string `json:"key_file"`
}

// An example sets up the demo's data through a server's API. It finds existing data by name,
// so a second start changes nothing.
type example struct {
	client   *client.Client
	folder   string
	licenses []exampleLicense
}

func (e *example) setUp(ctx context.Context) error {
	if err := e.token(ctx); err != nil {
		return err
	}
	if err := e.product(ctx); err != nil {
		return err
	}
	if err := e.plans(ctx); err != nil {
		return err
	}
	if err := e.pinRoot(ctx); err != nil {
		return err
	}
	customer, err := e.customer(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(e.folder, "keys"), 0o700); err != nil {
		return err
	}
	for _, s := range sales() {
		l, err := e.license(ctx, customer, s)
		if err != nil {
			return err
		}
		e.licenses = append(e.licenses, l)
	}
	return nil
}

func (e *example) post(ctx context.Context, path string, body any) (client.Answer, error) {
	return e.client.Do(ctx, client.Call{As: client.ByToken, Method: http.MethodPost, Path: path, Body: body})
}

func (e *example) tokenFile() string { return filepath.Join(e.folder, "admin.token") }

// token creates a token for only the example's environment, so that the suggested commands
// need not name the environment.
func (e *example) token(ctx context.Context) error {
	if _, err := os.Stat(e.tokenFile()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a, err := e.post(ctx, "/v1/tokens", map[string]any{"name": "demo", "role": "admin"})
	if err != nil {
		return err
	}
	text, err := newTokenOf(a)
	if err != nil {
		return err
	}
	return target{name: e.tokenFile(), mode: forOwner}.writeSecret(text)
}

func (e *example) product(ctx context.Context) error {
	_, err := e.post(ctx, "/v1/products", map[string]any{
		"name": exampleProduct, "title": "Lathe",
		"owner": map[string]string{"team": "cam", "pager": "cam-oncall@example.com", "runbook": "https://example.com/runbooks/lathe"},
	})
	if p, ok := client.AsProblem(err); ok && p.Code == "exists" {
		return nil
	}
	return err
}

// plans applies the plan files. A plan that is already in force does not change.
func (e *example) plans(ctx context.Context) error {
	names, err := fs.Glob(plans.Files, "*.yaml")
	if err != nil {
		return err
	}
	var files []policy.File
	for _, name := range names {
		text, err := plans.Files.ReadFile(name)
		if err != nil {
			return err
		}
		files = append(files, policy.File{Name: name, Text: string(text)})
	}
	_, err = e.post(ctx, "/v1/plans", map[string]any{"files": files, "licenses": "new"})
	return err
}

// pinRoot saves the root set next to the keys, for copyhold verify and for programs.
func (e *example) pinRoot(ctx context.Context) error {
	file := e.rootSetFile()
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a, err := e.client.Do(ctx, client.Call{As: client.Anonymous, Method: http.MethodGet, Path: "/v1/rootset", Query: url.Values{"env": {demoEnvironment}}})
	if err != nil {
		return err
	}
	return target{name: file, force: true, mode: forAll}.write(append(a.Body, '\n'))
}

func (e *example) rootSetFile() string { return filepath.Join(e.folder, "root-set.json") }

// find returns the id of the object in a list that has this reference, or "".
func (e *example) find(ctx context.Context, path, reference string) (string, error) {
	p, err := e.client.List(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: path, Query: url.Values{"reference": {reference}}}, 1)
	if err != nil || len(p.Items) == 0 {
		return "", err
	}
	var found struct {
		ID string `json:"id"`
	}
	return found.ID, client.Answer{Body: p.Items[0]}.Decode(&found)
}

func (e *example) customer(ctx context.Context) (string, error) {
	id, err := e.find(ctx, "/v1/customers", "demo-acme")
	if err != nil || id != "" {
		return id, err
	}
	a, err := e.post(ctx, "/v1/customers", map[string]any{"name": "Acme Ltd", "email": "licenses@acme.example", "reference": "demo-acme"})
	if err != nil {
		return "", err
	}
	var created struct {
		ID string `json:"id"`
	}
	return created.ID, a.Decode(&created)
}

// license finds or issues the license of a sale. If a key's file was lost, license replaces
// the key, because the server keeps only its hash.
func (e *example) license(ctx context.Context, customer string, s sale) (exampleLicense, error) {
	l := exampleLicense{Plan: s.plan, Shows: s.shows, KeyFile: filepath.Join(e.folder, "keys", s.plan+".key")}
	id, err := e.find(ctx, "/v1/licenses", "demo-"+s.plan)
	if err != nil {
		return l, err
	}
	key, readErr := os.ReadFile(l.KeyFile)
	if id != "" && readErr == nil {
		l.License, l.Key = id, strings.TrimSpace(string(key))
		return l, nil
	}
	if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
		return l, readErr
	}
	var a client.Answer
	if id == "" {
		a, err = e.post(ctx, "/v1/licenses", map[string]any{
			"plan": s.plan, "product": exampleProduct, "customer": customer, "reference": "demo-" + s.plan,
		})
	} else {
		a, err = e.post(ctx, licensePath(id, "keys"), map[string]any{})
	}
	if err != nil {
		return l, err
	}
	return e.keepKey(a, l, id)
}

// keepKey writes a new key to its file.
func (e *example) keepKey(a client.Answer, l exampleLicense, id string) (exampleLicense, error) {
	var issued struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	if err := a.Decode(&issued); err != nil {
		return l, err
	}
	var err error
	l.License = issued.License.ID
	if id != "" {
		l.License = id
	}
	if l.Key, err = newKeyOf(a); err != nil {
		return l, err
	}
	if err := os.Remove(l.KeyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	return l, target{name: l.KeyFile, mode: forOwner}.writeSecret(l.Key)
}
