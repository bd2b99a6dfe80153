package cli

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/client"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
)

// A testServer is a real server in this process, for a script.
type testServer struct {
	*server
	stop context.CancelFunc
	done chan error
}

// startTestServer serves a data folder on a free port.
func startTestServer(data string, first []licensing.Environment) (*testServer, error) {
	return startTestServerAt("127.0.0.1:0", data, first)
}

func startTestServerAt(address, data string, first []licensing.Environment) (*testServer, error) {
	return startTestServerOn("", address, data, first)
}

// startTestServerOn serves a database or, if it is empty, the file in the data folder.
func startTestServerOn(database, address, data string, first []licensing.Environment) (*testServer, error) {
	return startTestServerWith(database, map[string]string{"data": data, "listen": address, "shutdown": "1m"}, first)
}

func startTestServerWith(database string, settings map[string]string, first []licensing.Environment) (*testServer, error) {
	loaded, err := config.Load(config.Sources{
		Flags: settings,
		Getenv: func(name string) string {
			if name == "COPYHOLD_DATABASE" {
				return database
			}
			return ""
		},
	})
	if err != nil {
		return nil, err
	}
	c := &cli{program: Program{Args: []string{"copyhold"}, Stdout: io.Discard, Stderr: io.Discard}, http: &http.Client{}}
	ctx, stop := context.WithCancel(context.Background())
	s, err := c.startServer(ctx, loaded.Config, slog.New(slog.DiscardHandler), first)
	if err != nil {
		stop()
		return nil, err
	}
	t := &testServer{server: s, stop: stop, done: make(chan error, 1)}
	go func() { t.done <- s.serve(ctx) }()
	return t, nil
}

func (t *testServer) close() error {
	t.stop()
	return <-t.done
}

// runningServer is the key for the server in a script's values.
type runningServer struct{}

// scriptServer starts a server on a data folder: server FOLDER. It sets
// COPYHOLD_URL, LISTEN and COPYHOLD_TOKEN_FILE for the commands that follow.
func scriptServer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: server FOLDER")
	}
	serveScript(ts, ts.MkAbs(args[0]), authority.FirstEnvironments())
	ts.Setenv("COPYHOLD_TOKEN_FILE", filepath.Join(ts.MkAbs(args[0]), ownerTokenFile))
}

// scriptExample starts a server with the demo's example: example FOLDER.
func scriptExample(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: example FOLDER")
	}
	data := ts.MkAbs(args[0])
	s := serveScript(ts, data, demoEnvironments())
	ts.Check(setUpExample(context.Background(), data, s.URL()))
	ts.Setenv("COPYHOLD_TOKEN_FILE", filepath.Join(data, "admin.token"))
}

// scriptExampleAgain starts a server on a folder that was restored from an example's backup. The
// known tokens remain valid: example-again FOLDER.
func scriptExampleAgain(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: example-again FOLDER")
	}
	serveScript(ts, ts.MkAbs(args[0]), demoEnvironments())
}

func serveScript(ts *testscript.TestScript, data string, first []licensing.Environment) *testServer {
	s, err := startTestServer(data, first)
	ts.Check(err)
	running := ts.Value(runningServer{}).(**testServer)
	*running = s
	ts.Defer(func() {
		if *running == s {
			ts.Check(s.close())
		}
	})
	ts.Setenv("COPYHOLD_URL", s.URL())
	ts.Setenv("LISTEN", s.listener.Addr().String())
	return s
}

// scriptTamper changes a database without the server: tamper FOLDER STATEMENT.
func scriptTamper(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: tamper FOLDER STATEMENT")
	}
	db, err := sql.Open("sqlite", filepath.Join(ts.MkAbs(args[0]), databaseFile))
	ts.Check(err)
	_, err = db.Exec(args[1])
	ts.Check(errors.Join(err, db.Close()))
}

// scriptStop stops the script's server.
func scriptStop(ts *testscript.TestScript, _ bool, _ []string) {
	running := ts.Value(runningServer{}).(**testServer)
	s := *running
	*running = nil
	ts.Check(s.close())
}

// setUpExample creates the demo's licenses on a server.
func setUpExample(ctx context.Context, data, url string) error {
	token, err := os.ReadFile(filepath.Join(data, ownerTokenFile))
	if err != nil {
		return err
	}
	e := &example{folder: data, client: client.New(&http.Client{}, client.Settings{
		Endpoints: client.At(url), Environment: client.Setting[string]{Value: demoEnvironment},
		Token: client.Setting[client.Secret]{Value: client.Secret(strings.TrimSpace(string(token)))},
	}, 0)}
	return e.setUp(ctx)
}
