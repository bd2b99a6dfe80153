//go:build linux

package cli

import (
	"bufio"
	"database/sql"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/storetest"
)

// A process is `copyhold serve` in a separate process, with its log until it served or ended.
type process struct {
	pid    int
	log    string
	serves bool
	stop   func()
}

// serveAlone starts a server in a separate process with exactly this environment. It stops when
// the test ends, if not before.
func serveAlone(t *testing.T, environ, flags []string) process {
	t.Helper()
	program, err := os.Executable()
	must(t, err)
	cmd := exec.Command(program)
	cmd.Args = append([]string{"copyhold", "serve", "--listen", "127.0.0.1:0", "--log-level", "debug"}, flags...)
	cmd.Env = environ
	errs, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	p := process{pid: cmd.Process.Pid}
	lines := bufio.NewReader(errs)
	for !p.serves {
		line, err := lines.ReadString('\n')
		p.log += line
		p.serves = strings.Contains(line, "msg=serving")
		if err != nil {
			break
		}
	}
	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
	})
	t.Cleanup(p.stop)
	return p
}

// shown returns what other programs of the same account can read about a process.
func (p process) shown(t *testing.T) string {
	t.Helper()
	all := p.log
	for _, file := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), file))
		must(t, err)
		all += string(text)
	}
	return all
}

// A server that gets its secrets from the environment can use them but does not reveal them: not
// in /proc/PID/environ, its arguments or its log. It is still the same process, so a service
// manager keeps track of it.
func TestASecretInTheEnvironmentIsShownToNobodyElse(t *testing.T) {
	t.Parallel()
	database := withPassword(storetest.PostgresURL(t), "canary-url")
	data := t.TempDir()
	p := serveAlone(t, []string{"COPYHOLD_DATABASE=" + database, "PGPASSWORD=canary-driver", "VISIBLE=visible"}, []string{"--data", data})
	if !p.serves || !strings.Contains(p.log, "engine=postgres") {
		t.Fatalf("the server does not serve its database:\n%s", p.log)
	}
	shown := p.shown(t)
	if strings.Contains(shown, "canary") || !strings.Contains(shown, "visible") {
		t.Errorf("shown: %q", shown)
	}

	key, err := os.ReadFile(filepath.Join(data, sealingKeyFile))
	must(t, err)
	p = serveAlone(t, []string{"COPYHOLD_SEALING_KEY=" + string(key)}, []string{"--data", t.TempDir()})
	if shown := p.shown(t); !p.serves || strings.Contains(shown, "AGE-SECRET-KEY") {
		t.Errorf("serves: %v, shown: %q", p.serves, shown)
	}
}

// A server warns once if others can read its traffic, and if its own address was set under the
// former name.
func TestServeWarnsOfWhatIsExposedOrRenamed(t *testing.T) {
	t.Parallel()
	p := serveAlone(t, []string{"COPYHOLD_URL=https://licenses.example.com"}, []string{"--data", t.TempDir(), "--listen", "0.0.0.0:0"})
	if !p.serves || !strings.Contains(p.log, "unencrypted") || !strings.Contains(p.log, "COPYHOLD_PUBLIC_URL") {
		t.Errorf("serves: %v\n%s", p.serves, p.log)
	}
	p = serveAlone(t, []string{"COPYHOLD_PUBLIC_URL=https://licenses.example.com", "COPYHOLD_URL=http://a,http://b"}, []string{"--data", t.TempDir()})
	if !p.serves || strings.Contains(p.log, "level=WARN") {
		t.Errorf("serves: %v\n%s", p.serves, p.log)
	}
}

func withPassword(database, password string) string {
	u, _ := url.Parse(database)
	q := u.Query()
	q.Set("password", password)
	u.RawQuery = q.Encode()
	return u.String()
}

// The server logs in with the password from every supported place, and errors never show it.
func TestTheDatabasePasswordComesFromAFileACredentialOrTheEnvironment(t *testing.T) {
	t.Parallel()
	const password = "p@ss:w/rd %41?#"
	database := needingPassword(t, storetest.PostgresURL(t), password)
	sealing, err := signing.NewSealingKey()
	must(t, err)
	folder := t.TempDir()
	sealingKey := filepath.Join(folder, sealingKeyFile)
	must(t, signing.WriteKeyFile(sealingKey, sealing.Text()))
	file := filepath.Join(folder, "copyhold-database-password")
	must(t, os.WriteFile(file, []byte(password+"\n"), 0o600))
	settings := filepath.Join(folder, "copyhold.yaml")
	must(t, os.WriteFile(settings, []byte("database_password_file: "+file+"\n"), 0o600))
	for name, way := range map[string]struct{ environ, flags []string }{
		"flag":          {nil, []string{"--database-password-file", file}},
		"settings file": {nil, []string{"--config", settings}},
		"credential":    {[]string{"CREDENTIALS_DIRECTORY=" + folder}, nil},
		"variable":      {[]string{"COPYHOLD_DATABASE_PASSWORD=" + password}, nil},
		"file variable": {[]string{"COPYHOLD_DATABASE_PASSWORD_FILE=" + file}, nil},
		"driver":        {[]string{"PGPASSWORD=" + password}, nil},
	} {
		p := serveAlone(t, append(way.environ, "COPYHOLD_DATABASE="+database), append([]string{"--data", t.TempDir(), "--sealing-key-file", sealingKey}, way.flags...))
		if !p.serves || strings.Contains(p.shown(t), password) {
			t.Errorf("%s: serves: %v\n%s", name, p.serves, p.log)
		}
		p.stop()
	}
	for _, wrong := range []string{"COPYHOLD_DATABASE=" + database, "COPYHOLD_DATABASE=" + withPassword(database, "xq7"), "COPYHOLD_DATABASE=postgres://u:xq7:xq7@/%zzxq7@h:xq7/db"} {
		p := serveAlone(t, []string{wrong}, []string{"--data", t.TempDir()})
		if p.serves || strings.Contains(p.log, "xq7") || !strings.Contains(p.log, "copyhold: ") {
			t.Errorf("%s: serves: %v\n%s", wrong, p.serves, p.log)
		}
	}
}

// needingPassword returns a URL of the same database for a role that must give its password. The
// other roles of the test's server are still trusted.
func needingPassword(t *testing.T, database, password string) string {
	t.Helper()
	admin, err := sql.Open("pgx", database)
	must(t, err)
	defer admin.Close()
	var rules string
	must(t, admin.QueryRow("SHOW hba_file").Scan(&rules))
	text, err := os.ReadFile(rules)
	must(t, err)
	must(t, os.WriteFile(rules, append([]byte("local all careful scram-sha-256\n"), text...), 0o600))
	for _, statement := range []string{
		"CREATE ROLE careful SUPERUSER LOGIN PASSWORD '" + password + "'", "SELECT pg_reload_conf()",
	} {
		_, err := admin.Exec(statement)
		must(t, err)
	}
	u, err := url.Parse(database)
	must(t, err)
	q := u.Query()
	q.Set("user", "careful")
	u.RawQuery = q.Encode()
	stranger, err := sql.Open("pgx", u.String())
	must(t, err)
	defer stranger.Close()
	for deadline := time.Now().Add(time.Minute); stranger.Ping() == nil; { // it reloads its rules a moment later
		if time.Now().After(deadline) {
			t.Fatal("the role is trusted without its password")
		}
	}
	return u.String()
}
