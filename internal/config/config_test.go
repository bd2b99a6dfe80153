package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/config"
)

var update = flag.Bool("update", false, "write the golden files")

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "copyhold.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrintedSettingsAreTheManual(t *testing.T) {
	l, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := l.Print(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("..", "..", "deploy", "copyhold.yaml")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the settings differ from %s; run the test with -update and read the difference", golden)
	}
}

func TestWhatIsPrintedCanBeLoaded(t *testing.T) {
	first, err := config.Load(config.Sources{Getenv: env(map[string]string{
		"COPYHOLD_HOSTS": "a.example, b.example", "COPYHOLD_LIMITS_HELD": "7", "COPYHOLD_SHUTDOWN": "1m30s"})})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := first.Print(&text); err != nil {
		t.Fatal(err)
	}
	second, err := config.Load(config.Sources{File: write(t, text.String())})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(first.Config) != fmt.Sprint(second.Config) || second.Limits.Held != 7 || len(second.Hosts) != 2 || second.Shutdown != 90*time.Second {
		t.Errorf("%v\n%v", first.Config, second.Config)
	}
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	file := write(t, "listen: 127.0.0.1:1\ndata: file\nlog: {level: warn, format: json}\nlimits:\n  held: 5\n")
	l, err := config.Load(config.Sources{
		File:   file,
		Getenv: env(map[string]string{"COPYHOLD_LISTEN": "127.0.0.1:2", "COPYHOLD_LOG_LEVEL": "error"}),
		Flags:  map[string]string{"listen": "127.0.0.1:3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"listen": "--listen", "log.level": "COPYHOLD_LOG_LEVEL", "log.format": file, "limits.held": file, "public_url": "default"} {
		if got := l.Origin(path); got != want {
			t.Errorf("%s comes from %s, want %s", path, got, want)
		}
	}
	if l.Listen != "127.0.0.1:3" || l.Log.Level != "error" || l.Log.Format != "json" || l.Data != "file" || l.Limits.Held != 5 {
		t.Errorf("%+v", l.Config)
	}
}

func TestAWrongSettingIsNamedWithWhatWouldBeRight(t *testing.T) {
	for _, tc := range []struct{ yaml, want string }{
		{"listn: x", "did you mean listen?"},
		{"listen: nowhere", "listen (from "},
		{"shutdown: soon", "use a duration such as"},
		{"limits: {held: many}", "limits.held"},
		{"limits: {held: -1}", "must not be negative"},
		{"hosts: {a: b}", "unknown setting hosts.a"},
		{"log: {level: loud}", "one of debug, info, warn, error"},
		{"tls: {certificate: a.pem}", "both"},
		{"proxies: [everyone]", "10.0.0.0/8"},
		{"public_url: nowhere", "https://licenses.example.com"},
		{"url: nowhere", "copyhold.yaml (url)"},
		{"hosts: ['https://licenses.example.com']", "omit the scheme"},
		{"hosts: ['licenses.example.com:7400']", "omit the port"},
		{"hosts: ['*.example.com']", "patterns are not supported"},
		{"hosts: ['lizenzen.müller.example']", "xn--"},
		{"hosts: ['licenses example com']", "use a name such as"},
		{"hosts: ['licenses..com']", "use a name such as"},
		{"database: mysql://root:hunter2@host/db", "postgres://"},
		{"database: host=db user=u password=hunter2", "postgres://"},
		{"{database: a.db, database_password: hunter2}", "not a PostgreSQL server"},
		{"{database: 'postgres://u:hunter2@h/db', database_password: hunter2}", "also contains a password"},
		{"{database: 'postgres://u@h/db?password=hunter2', database_password: hunter2}", "also contains a password"},
		{"{database: a.db, database_file: b}", "not both"},
		{"database_file: nowhere", "file nowhere does not exist"},
		{"sealing: {key_file: [a]}", "must be a file name"},
		{"data_file: a", "unknown setting data_file"},
		{"postgres://u:hunter2@h/db", "reading settings"},
		{"database: [hunter2]", "must be a string"},
		{"data: [a]", "must be a string"},
	} {
		_, err := config.Load(config.Sources{File: write(t, tc.yaml)})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", tc.yaml, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", tc.yaml, err)
		}
	}
}

// Every secret can be kept in a separate file, named in YAML or the environment, or in a systemd
// credential. If several are set, the one closest to the command takes precedence.
func TestEverySecretComesFromAFileOrACredential(t *testing.T) {
	values := map[string]string{"database": "postgres://u@h/%s", "database_password": "%s", "sealing.key": "%s"}
	for _, s := range config.Settings() {
		if !s.Secret() {
			continue
		}
		t.Run(s.Path, func(t *testing.T) {
			folder, value := t.TempDir(), values[s.Path]
			if value == "" {
				t.Fatal("this test does not cover all secrets")
			}
			named := func(name string) string {
				file := filepath.Join(folder, name)
				if err := os.WriteFile(file, []byte("\ufeff "+fmt.Sprintf(value, name)+"\r\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return file
			}
			credential := "copyhold-" + strings.TrimSuffix(s.Flag(), "-file")
			section, last, nested := strings.Cut(s.Path, ".")
			yaml := func(suffix, value string) string {
				if nested {
					return write(t, fmt.Sprintf("%s: {%s%s: '%s'}\ndatabase: postgres://u@h/db\n", section, last, suffix, value))
				}
				if s.Path != "database" {
					value += "'\ndatabase: 'postgres://u@h/db"
				}
				return write(t, fmt.Sprintf("%s%s: '%s'\n", s.Path, suffix, value))
			}
			named(credential)
			from := config.Sources{}
			variables := map[string]string{"CREDENTIALS_DIRECTORY": folder}
			from.Getenv = env(variables)
			if s.Path != "database" {
				variables["COPYHOLD_DATABASE"] = "postgres://u@h/db"
			}
			expect := func(want, origin string) {
				t.Helper()
				l, err := config.Load(from)
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]config.Secret{"database": l.Database, "database_password": l.DatabasePassword, "sealing.key": l.Sealing.Key}[s.Path]
				if got.Reveal() != fmt.Sprintf(value, want) || !strings.Contains(l.Origin(s.Path), origin) {
					t.Errorf("%q from %s; want %s from %s", got.Reveal(), l.Origin(s.Path), want, origin)
				}
			}
			expect(credential, "systemd credential "+credential)
			from.File = yaml("_file", named("in-yaml"))
			expect("in-yaml", from.File)
			from.File = yaml("", fmt.Sprintf(value, "itself"))
			expect("itself", from.File)
			variables[s.Env()+"_FILE"] = named("in-environment")
			expect("in-environment", s.Env()+"_FILE")
			variables[s.Env()] = fmt.Sprintf(value, "variable")
			expect("variable", s.Env())

			empty := filepath.Join(folder, "empty")
			if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
				t.Fatal(err)
			}
			delete(variables, s.Env())
			variables[s.Env()+"_FILE"] = empty
			if _, err := config.Load(from); err == nil || !strings.Contains(err.Error(), "is empty") {
				t.Errorf("an empty file counts as a missing setting: %v", err)
			}
		})
	}
}

func TestASecretIsNeverShown(t *testing.T) {
	const canary = "postgres://u:canary@127.0.0.1/db"
	file := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := config.Load(config.Sources{Getenv: env(map[string]string{"COPYHOLD_DATABASE_FILE": file})})
	if err != nil {
		t.Fatal(err)
	}
	if l.Database.Reveal() != canary || l.Origin("database") != "COPYHOLD_DATABASE_FILE" || !l.Postgres() {
		t.Fatal("the secret was not read from its file")
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "db", l.Database, "all", l.Config)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "db", l.Database, "all", l.Config)
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d", l, l, l.Config, l.Database, l.Database, l.Database, l.Database)
	encoded, _ := json.Marshal(l.Config)
	out.Write(encoded)
	encoded, _ = json.Marshal(l.Entries())
	out.Write(encoded)
	_ = l.Print(&out)
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) {
		t.Errorf("a secret is shown: %s", out.String())
	}
	if !strings.Contains(out.String(), "(hidden)") {
		t.Error("the output does not show that the secret is set")
	}
}

// COPYHOLD_URL names servers for client commands. The server's own address has a separate
// setting. A value for an earlier version still counts if that setting is not set.
func TestTheServersOwnAddressIsNotTheClients(t *testing.T) {
	const own, other = "https://licenses.example.com", "https://other.example.com"
	former := write(t, "url: "+own+"\n")
	both := write(t, "url: "+other+"\npublic_url: "+own+"\n")
	for name, tc := range map[string]struct {
		from   config.Sources
		want   string
		former string
	}{
		"nothing":               {config.Sources{}, "", ""},
		"variable":              {config.Sources{Getenv: env(map[string]string{"COPYHOLD_PUBLIC_URL": own, "COPYHOLD_URL": other})}, own, ""},
		"former variable":       {config.Sources{Getenv: env(map[string]string{"COPYHOLD_URL": own})}, own, "COPYHOLD_URL"},
		"several of a client":   {config.Sources{Getenv: env(map[string]string{"COPYHOLD_URL": own + "," + other})}, "", ""},
		"none of a client":      {config.Sources{Getenv: env(map[string]string{"COPYHOLD_URL": "nowhere"})}, "", ""},
		"former file":           {config.Sources{File: former}, own, former + " (url)"},
		"both in a file":        {config.Sources{File: both}, own, ""},
		"flag":                  {config.Sources{Flags: map[string]string{"public_url": own, "url": other}}, own, ""},
		"former flag":           {config.Sources{Flags: map[string]string{"url": own}, File: write(t, "public_url: "+other+"\n")}, own, "--url"},
		"file before the shell": {config.Sources{File: write(t, "public_url: "+own+"\n"), Getenv: env(map[string]string{"COPYHOLD_URL": other})}, own, ""},
	} {
		l, err := config.Load(tc.from)
		if err != nil || l.PublicURL != tc.want || l.Former("public_url") != tc.former {
			t.Errorf("%s: %q, formerly %q: %v", name, l.PublicURL, l.Former("public_url"), err)
		}
	}
	if _, err := config.Load(config.Sources{Flags: map[string]string{"url": own + "," + other}}); err == nil || !strings.Contains(err.Error(), "--url") {
		t.Errorf("two addresses of one server: %v", err)
	}
}

func TestAPublicAddressWithoutTLSIsExposed(t *testing.T) {
	for listen, want := range map[string]bool{
		"127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false, "127.9.9.9:1": false, ":1": true, "0.0.0.0:1": true, "[::]:1": true, "10.0.0.1:1": true, "licenses:1": true,
	} {
		c := config.Config{Listen: listen}
		if c.Exposed() != want {
			t.Errorf("%s: %v", listen, !want)
		}
		c.Proxies = []string{"10.0.0.0/8"}
		if c.Exposed() {
			t.Errorf("%s behind a proxy is exposed", listen)
		}
		c.Proxies, c.TLS.Certificate = nil, "a.pem"
		if c.Exposed() {
			t.Errorf("%s with a certificate is exposed", listen)
		}
	}
}

func TestEverySettingIsExplained(t *testing.T) {
	for _, s := range config.Settings() {
		if s.Doc == "" || s.Usage() == "" {
			t.Errorf("%s has no comment", s.Path)
		}
	}
}
