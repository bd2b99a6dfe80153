package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Each command that needs a server reports unavailable if no server answers. If no server could
// answer, because the address, a flag or the credential is invalid, it reports wrong usage at once.
func TestARequestThatCantBeRightIsNeverUnavailable(t *testing.T) {
	t.Parallel()
	root := (&cli{}).rootCommand()
	asking := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		path := strings.Fields(cmd.CommandPath())[1:]
		if cmd.HasSubCommands() || cmd.Hidden || len(path) == 0 || path[0] == "serve" || path[0] == "demo" || path[0] == "run" || path[0] == "help" || path[0] == "health" {
			return
		}
		args := append(path, placeholders(cmd)...)
		environ := []string{"COPYHOLD_TOKEN=cht_x", "COPYHOLD_LICENSE_KEY=imported-from-elsewhere", "XDG_CONFIG_HOME=" + t.TempDir()}
		if status, _ := command(environ, append(args, "--url", "http://127.0.0.1:1")...); status != exitUnavailable {
			return // the command needs no server, or its arguments must be more than a word
		}
		asking++
		for _, wrong := range [][]string{
			{"--url", "http://127.0.0.1:99999"}, {"--url", "http://:1"}, {"--url", "ftp://127.0.0.1:1"}, {"--url", "127.0.0.1:1"},
			{"--url", "http://127.0.0.1:1/?x"}, {"--url", "http://127.0.0.1:1,nowhere"}, {"--url", "http://u:p@127.0.0.1:1"},
			{"--environment", "a\nb"}, {"--timeout", "soon"}, {"--timeout", "-1s"}, {"--output", "xml"}, {"--nonsense"}, {"--profile", "nobody"},
		} {
			if status, said := command(environ, append(args, wrong...)...); status != exitUsage {
				t.Errorf("%q %q: exit status %d: %s", args, wrong, status, said)
			}
		}
	}
	walk(root)
	if asking < 40 {
		t.Errorf("only %d commands need a server", asking)
	}
}

// placeholders returns a word for each required argument and flag of a command.
func placeholders(cmd *cobra.Command) (args []string) {
	words := strings.Fields(strings.ReplaceAll(cmd.Use, "...", ""))[1:]
	for i := 0; i < len(words); i++ {
		switch word := strings.Trim(words[i], "[]"); {
		case strings.HasPrefix(words[i], "["):
		case strings.HasPrefix(word, "--"):
			args = append(args, word, "1d")
			i++
		case word == strings.ToUpper(word):
			args = append(args, "1")
		}
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !slices.Contains(args, "--"+f.Name) {
			args = append(args, "--"+f.Name, "1")
		}
	})
	return args
}

// A server's answer decides whether it makes sense to repeat the request. Only then is the exit
// status 75, and only an answer with a signed decision is a denial.
func TestTheExitStatusSaysWhetherToTryAgain(t *testing.T) {
	t.Parallel()
	const problemType, page = "application/problem+json", "text/html"
	key := []string{"check", "export"}
	seat := []string{"lease", "acquire", "--pool", "seats", "--holder", "ann"}
	token := []string{"license", "list"}
	for _, tc := range []struct {
		status           int
		kind, body       string
		key, seat, token int
	}{
		{400, problemType, `{"code":"invalid"}`, exitUsage, exitUsage, exitFailed},
		{422, problemType, `{"code":"invalid"}`, exitUsage, exitUsage, exitFailed},
		{401, problemType, `{"code":"unauthenticated"}`, exitFailed, exitFailed, exitFailed},
		{403, problemType, `{"code":"forbidden"}`, exitFailed, exitFailed, exitFailed},
		{404, problemType, `{"code":"not_found"}`, exitFailed, exitFailed, exitFailed},
		{409, problemType, `{"code":"conflict"}`, exitFailed, exitFailed, exitFailed},
		{409, problemType, `{"code":"pool_full","decision":{"outcome":"denied"}}`, exitDenied, exitUnavailable, exitDenied},
		{421, problemType, `{"code":"forbidden"}`, exitUsage, exitUsage, exitUsage},
		{429, problemType, `{"code":"rate_limited"}`, exitUnavailable, exitUnavailable, exitUnavailable},
		{500, problemType, `{"code":"internal"}`, exitUnavailable, exitUnavailable, exitUnavailable},
		{503, problemType, `{"code":"unavailable"}`, exitUnavailable, exitUnavailable, exitUnavailable},
		{400, page, "<html>", exitUnavailable, exitUnavailable, exitUnavailable},
		{400, page, "Client sent an HTTP request to an HTTPS server.", exitUsage, exitUsage, exitUsage},
		{401, page, "<html>", exitUnavailable, exitUnavailable, exitUnavailable},
		{403, page, "<html>", exitUnavailable, exitUnavailable, exitUnavailable},
		{404, page, "<html>", exitUnavailable, exitUnavailable, exitUnavailable},
		{502, page, "<html>", exitUnavailable, exitUnavailable, exitUnavailable},
		{302, page, "", exitUnavailable, exitUnavailable, exitUnavailable},
		{301, page, "", exitUsage, exitUsage, exitUsage},
		{308, page, "", exitUsage, exitUsage, exitUsage},
	} {
		answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tc.kind)
			w.Header().Set("Location", "https://licenses.example.com/")
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		}))
		for name, want := range map[string]struct {
			args   []string
			status int
		}{"key": {key, tc.key}, "seat": {seat, tc.seat}, "token": {token, tc.token}} {
			environ := []string{"COPYHOLD_TOKEN=cht_x", "COPYHOLD_LICENSE_KEY=imported-from-elsewhere", "COPYHOLD_URL=" + answers.URL, "XDG_CONFIG_HOME=" + t.TempDir()}
			if status, said := command(environ, want.args...); status != want.status {
				t.Errorf("%d %s %s, asked with a %s: exit status %d, not %d: %s", tc.status, tc.kind, tc.body, name, status, want.status, said)
			}
		}
		answers.Close()
	}
}

// A wrong address is named in the error, and does not prevent a request to the next server.
func TestAWrongAddressIsNamed(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	asHTTPS, asHTTP := strings.Replace(plain.URL, "http:", "https:", 1), strings.Replace(secure.URL, "https:", "http:", 1)
	for urls, want := range map[string]struct {
		status int
		says   string
	}{
		strings.Replace(secure.URL, "127.0.0.1", "localhost", 1): {exitUsage, "not localhost"},
		asHTTPS:                                 {exitUsage, "does not use HTTPS: change the address to http://"},
		asHTTP:                                  {exitUsage, "uses HTTPS: change the address to https://"},
		asHTTP + "," + asHTTPS:                  {exitUsage, "does not use HTTPS: change the address to http://"},
		asHTTP + ",http://127.0.0.1:1":          {exitUnavailable, "uses HTTPS: change the address to https://"},
		fmt.Sprintf("%s,%s", asHTTP, plain.URL): {exitUnavailable, "a server that is not Copyhold"},
	} {
		status, said := command([]string{"COPYHOLD_LICENSE_KEY=imported-from-elsewhere", "COPYHOLD_URL=" + urls}, "check", "export")
		if status != want.status || !strings.Contains(said, want.says) {
			t.Errorf("%s: exit status %d, not %d: %s", urls, status, want.status, said)
		}
	}
}

// command runs a command in this process and returns its exit status and all of its output.
func command(environ []string, args ...string) (int, string) {
	var out bytes.Buffer
	status := Main(Program{Args: append([]string{"copyhold"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Environ: environ})
	return status, out.String()
}
