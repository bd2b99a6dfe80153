package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/config"
	v1 "copyhold.dev/internal/v1"
)

func (c *cli) healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check whether the server on this machine is ready",
		Long: `Health asks the server on this machine whether it can make decisions (GET /readyz). Use
it with the same settings as copyhold serve. It needs no token and no shell, so that a
container image can use it as its health check. Because it connects to this machine, it
does not compare the name in the certificate with the address.

Exit status: 0 the server is ready; 75 it is not ready or does not answer.`,
		Example: `  copyhold health
  copyhold health --listen 127.0.0.1:7400 --output json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := c.serverConfig(cmd.Flags())
			if err != nil {
				return err
			}
			within, cancel := context.WithTimeout(cmd.Context(), c.flags.timeout)
			defer cancel()
			url := localURL(loaded.Config) + "/readyz"
			body, status, err := askLocal(within, url)
			if err != nil {
				return exitf(exitUnavailable, "no server answers on this machine: %w", err)
			}
			var h v1.Health
			if err := json.Unmarshal(body, &h); err != nil || h.Status == "" {
				return exitf(exitUnavailable, "the server at %s is not Copyhold", url)
			}
			if c.asJSON() {
				err = c.printJSON(json.RawMessage(body))
			} else if status == http.StatusOK {
				c.printf("ok\n")
			}
			for _, w := range h.Warnings {
				fmt.Fprintf(c.program.Stderr, "copyhold: warning: %s\n", w)
			}
			if err != nil || status == http.StatusOK {
				return err
			}
			return exitf(exitUnavailable, "the server cannot make decisions: %s", strings.Join(h.Causes, "; "))
		},
	}
	serverFlags(cmd.Flags(), "listen", "tls.certificate", "tls.key")
	return cmd
}

// localURL returns the URL at which a program on this machine can reach the server with these
// settings.
func localURL(settings config.Config) string {
	scheme := "http"
	if settings.TLS.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + reachable(settings.Listen)
}

// localClient is for requests to servers on this machine. It does not check the certificate,
// which names the server and not this address. Nothing sent or read through it is secret.
func localClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // see above
}

// askLocal reads the beginning of a page from a server on this machine.
func askLocal(ctx context.Context, url string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := localClient().Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	const longest = 1 << 20 // bytes
	body, err = io.ReadAll(io.LimitReader(resp.Body, longest))
	return body, resp.StatusCode, err
}
