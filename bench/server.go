package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const benchPlan = `product: lathe
plan: bench
name: Bench
term: {length: 1y}
features: {export: true, render: true}
pools:
  seats: {holder: user, capacity: %d, lease: 15m, grace: 1h, full: deny}
meters:
  calls: {unit: call, quota: 1000000000, per: year}
`

// A measured server is the real program with one license.
type measured struct {
	*process
	license    string
	credential string // Authorization header for the license's key
	dir        string
	vendor     vendor
}

// serve starts the program on an empty database with one pool of seats. An
// empty database URL is SQLite in a folder that end removes.
func (s settings) serve(ctx context.Context, database string, seats int) (*measured, error) {
	dir, err := os.MkdirTemp(s.dataDir, "copyhold-bench-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	m := &measured{dir: dir}
	args := []string{"serve", "--data", dir, "--listen", addr, "--limits-per-license", "1000000", "--limits-per-token", "1000000", "--log-level", "warn"}
	if s.profile != "" {
		if err := os.Remove(s.profile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err // the server does not overwrite a profile
		}
		args = append(args, "--cpu-profile", s.profile)
	}
	if database != "" {
		file := filepath.Join(dir, "database")
		if err := os.WriteFile(file, []byte(database), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--database-file", file)
	}
	m.process, err = launch(ctx, addr, s.binary, args...)
	if err != nil {
		return nil, err
	}
	if err := m.populate(dir, seats); err != nil {
		m.end()
		return nil, fmt.Errorf("%w\n%s", err, m.log.String())
	}
	return m, nil
}

func (m *measured) end() {
	m.stop()
	os.RemoveAll(m.dir)
}

func (m *measured) populate(dir string, seats int) error {
	token, err := os.ReadFile(filepath.Join(dir, "owner.token"))
	if err != nil {
		return err
	}
	m.vendor = vendor{addr: m.addr, token: strings.TrimSpace(string(token))}
	m.license, m.credential, err = m.vendor.sell(seats)
	return err
}

// sell makes the product and the plan of the measurements, and returns a new license and the
// Authorization header for its key.
func (v vendor) sell(seats int) (id, credential string, err error) {
	owner := map[string]string{"team": "bench", "pager": "bench@lathe.example", "runbook": "https://lathe.example/runbook"}
	if err := v.call(http.MethodPost, "/v1/products", map[string]any{"name": "lathe", "owner": owner}, nil); err != nil {
		return "", "", err
	}
	file := map[string]string{"name": "bench.yaml", "text": fmt.Sprintf(benchPlan, seats)}
	if err := v.call(http.MethodPost, "/v1/plans", map[string]any{"files": []any{file}, "licenses": "new"}, nil); err != nil {
		return "", "", err
	}
	var customer struct{ ID string }
	var issued struct {
		License struct{ ID string }
		Key     struct{ Key string }
	}
	if err := v.call(http.MethodPost, "/v1/customers", map[string]any{"name": "Bench Ltd"}, &customer); err != nil {
		return "", "", err
	}
	if err := v.call(http.MethodPost, "/v1/licenses", map[string]any{"customer": customer.ID, "product": "lathe", "plan": "bench"}, &issued); err != nil {
		return "", "", err
	}
	return issued.License.ID, "License " + issued.Key.Key, nil
}

// yardstick starts the bare handlers, which answer with documents of size bytes.
func (s settings) yardstick(ctx context.Context, size int) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return launch(ctx, addr, self, "yardstick", "-listen", addr, "-size", fmt.Sprint(size))
}
