package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/client"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
	"copyhold.dev/sdk/license"
)

func (c *cli) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [FOLDER...]",
		Short: "Check a server's configuration, storage, keys and clock, and search source code for secrets",
		Long: `Doctor finds problems before they break licensing. It changes nothing, so you can also
run it before the first start. It reads the same settings as copyhold serve and checks
the data folder, the disk, the database, the sealing key, the certificate, and whether
each listen address is free or Copyhold answers there.

Doctor then asks the servers in --url, or else the server on this machine, whether they
can make decisions, and compares clocks. With a token it also looks for log rows in
quarantine (docs/log.md). If you name folders, it searches them for license keys, tokens
and private keys, which do not belong in source code.

Exit status 1: a check failed.`,
		Example: `  copyhold doctor --config /etc/copyhold.yaml
  copyhold doctor --data /var/lib/copyhold --url https://licenses.example.com
  copyhold doctor ./src --output json`,
		RunE: func(cmd *cobra.Command, folders []string) error {
			loaded, err := c.serverConfig(cmd.Flags())
			if err != nil {
				return err
			}
			d := &doctor{}
			running := c.examineSettings(cmd.Context(), d, loaded)
			if err := c.examineRunning(cmd.Context(), d, running); err != nil {
				return err
			}
			for _, folder := range folders {
				d.secrets(folder)
			}
			return c.printFindings(d)
		},
	}
	var all []string
	for _, s := range config.Settings() {
		if s.Flag() != publicURL { // --url names the servers to check
			all = append(all, s.Path)
		}
	}
	serverFlags(cmd.Flags(), all...)
	return cmd
}

// A finding is the outcome of one check: ok, warning or failed.
type finding struct {
	Check   string `json:"check"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"`
}

type doctor struct{ findings []finding }

func (d *doctor) note(check, outcome, format string, args ...any) {
	d.findings = append(d.findings, finding{check, outcome, fmt.Sprintf(format, args...)})
}

// examineRunning checks the servers in --url, or else the one on this machine.
func (c *cli) examineRunning(ctx context.Context, d *doctor, here string) error {
	asking, err := c.settings(client.Anonymous)
	if err != nil {
		return err
	}
	named := asking.Endpoints.Source != "default"
	switch {
	case !named && here == "": // no server to check
		return nil
	case !named && strings.HasPrefix(here, "https:"):
		d.note("server", "ok", "clock and fence not checked: specify the server with --url, using the name in its certificate")
		return nil
	case !named:
		c.flags.URL = here
	}
	if err := c.examineServers(ctx, d); err != nil {
		return err
	}
	c.examineFence(ctx, d)
	return nil
}

// examineServers checks that each server answers, and compares its clock.
func (c *cli) examineServers(ctx context.Context, d *doctor) error {
	server, err := c.client(client.Anonymous)
	if err != nil {
		return err
	}
	asking, err := c.settings(client.ByToken)
	if err != nil {
		return err
	}
	for _, base := range server.Servers() {
		if d.server(ctx, server, base) && asking.Token.Value != "" {
			d.log(ctx, client.New(c.http, asking, c.flags.timeout), base)
		}
	}
	return nil
}

// log checks that no log rows are in quarantine, as far as the token can see.
func (d *doctor) log(ctx context.Context, server *client.Client, base string) {
	a, err := server.Ask(ctx, base, client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/status"})
	var status struct {
		Quarantine []struct {
			Environment string `json:"environment"`
			Cause       string `json:"cause"`
			Rows        int64  `json:"rows"`
		} `json:"quarantine"`
	}
	if err == nil {
		err = a.Decode(&status)
	}
	if err != nil {
		d.note("log", "warning", "not checked: %v", err)
		return
	}
	for _, q := range status.Quarantine {
		what := "the rows or their hashes are damaged: check the log.quarantined entries of the log, and the disk"
		switch {
		case q.Cause != "unknown_environment":
		case licensing.Env(q.Environment) == access.AllEnvironments || licensing.CheckName("environment", q.Environment) != nil:
			what = "no environment can have this name; the rows stay in quarantine and do no harm"
		default:
			what = "the environment does not exist: if the name is correct, create it with copyhold environment create to release them"
		}
		d.note("log", "warning", "%s of environment %q in quarantine: %s", licensing.Counted(q.Rows, "row"), q.Environment, what)
	}
	if len(status.Quarantine) == 0 {
		d.note("log", "ok", "no rows are in quarantine")
	}
}

// server reports whether one server answers, and compares its clock.
func (d *doctor) server(ctx context.Context, server *client.Client, base string) (answers bool) {
	began := time.Now()
	a, err := server.Ask(ctx, base, client.Call{Method: http.MethodGet, Path: "/healthz"})
	if err != nil {
		d.note("server", "failed", "%s: %v", base, err)
		return false
	}
	took := time.Since(began)
	d.note("server", "ok", "%s answers in %s", base, took.Round(time.Millisecond))
	d.ready(ctx, server, base)
	theirs, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		d.note("clock", "warning", "the server's answer does not include its time")
		return true
	}
	// The header has whole seconds and was written at some point during the exchange.
	apart := began.Add(took / 2).Sub(theirs).Abs()
	if apart > license.Epsilon*time.Second {
		d.note("clock", "failed", "the clocks of this machine and the server differ by %s; licenses allow at most %ds", apart.Round(time.Second), license.Epsilon)
		return true
	}
	d.note("clock", "ok", "within %s of the server's clock", max(apart.Round(time.Second), time.Second))
	return true
}

// ready records why a server cannot make decisions, and what its operator should check.
func (d *doctor) ready(ctx context.Context, server *client.Client, base string) {
	a, err := server.Ask(ctx, base, client.Call{Method: http.MethodGet, Path: "/readyz"})
	if err != nil {
		d.note("server ready", "failed", "%v", err)
		return
	}
	var health v1.Health
	if err := json.Unmarshal(a.Body, &health); err != nil {
		return // not Copyhold; the /healthz check has reported that
	}
	for _, warning := range health.Warnings {
		d.note("server ready", "warning", "%s", warning)
	}
}

// examineFence checks whether pools are waiting for leases that a restore may have lost.
func (c *cli) examineFence(ctx context.Context, d *doctor) {
	const check = "restore"
	server, err := c.client(client.ByToken)
	if err != nil {
		d.note(check, "ok", "fence not checked: %v", err)
		return
	}
	a, err := server.Do(ctx, client.Call{As: client.ByToken, Method: http.MethodGet, Path: "/v1/fence"})
	var fence struct {
		Fenced bool `json:"fenced"`
		Pools  []struct {
			Plan  string    `json:"plan"`
			Pool  string    `json:"pool"`
			Until time.Time `json:"until"`
		} `json:"pools"`
	}
	if err == nil {
		err = a.Decode(&fence)
	}
	if err != nil {
		d.note(check, "warning", "fence not checked: %v", err)
		return
	}
	if !fence.Fenced {
		d.note(check, "ok", "no pools are waiting for leases that a restore may have lost")
	}
	for _, p := range fence.Pools {
		d.note(check, "warning", "pool %s of plan %s grants nothing new before %s: to end the wait, see copyhold fence --help", p.Pool, p.Plan, p.Until.UTC().Format(time.RFC3339))
	}
}

func (c *cli) printFindings(d *doctor) error {
	failed := 0
	rows := make([]record, len(d.findings))
	for i, f := range d.findings {
		rows[i] = record{"check": f.Check, "outcome": f.Outcome, "detail": f.Detail}
		if f.Outcome == "failed" {
			failed++
		}
	}
	if c.asJSON() {
		if err := c.printJSON(map[string]any{"findings": d.findings}); err != nil {
			return err
		}
	} else {
		c.printTable(rows, column{head: "CHECK", path: "check"}, column{head: "OUTCOME", path: "outcome"}, column{head: "DETAIL", path: "detail"})
	}
	if failed > 0 {
		return &exit{status: exitFailed}
	}
	return nil
}
