package cli

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"copyhold.dev/internal/client"
	"copyhold.dev/sdk/copyhold"
)

// certificateFiles writes a certificate for 127.0.0.1 with its key, and returns a pool that trusts it.
func certificateFiles(t *testing.T) (certificate, key string, trusting *x509.CertPool) {
	t.Helper()
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	pair := lender.TLS.Certificates[0]
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	must(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	trusting = x509.NewCertPool()
	trusting.AddCert(lender.Certificate())
	return certificate, key, trusting
}

// A server with a certificate accepts only TLS 1.2 or later, from the command line and from the
// SDK. To a program that does not trust the certificate, it is unavailable, which denies nothing.
func TestServingWithACertificate(t *testing.T) {
	t.Parallel()
	certificate, key, trusting := certificateFiles(t)
	data := t.TempDir()
	s, err := startTestServerWith("", map[string]string{
		"data": data, "listen": "127.0.0.1:0", "shutdown": "2s", "tls.certificate": certificate, "tls.key": key,
	}, demoEnvironments())
	must(t, err)
	t.Cleanup(func() { must(t, s.close()) })
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusting}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	trusts := &http.Client{Transport: transport}
	token, err := os.ReadFile(filepath.Join(data, ownerTokenFile))
	must(t, err)
	e := &example{folder: data, client: client.New(trusts, client.Settings{
		Endpoints: client.At(s.URL()), Environment: client.Setting[string]{Value: demoEnvironment},
		Token: client.Setting[client.Secret]{Value: client.Secret(strings.TrimSpace(string(token)))},
	}, 0)}
	must(t, e.setUp(t.Context()))

	root, err := os.ReadFile(filepath.Join(data, "root-set.json"))
	must(t, err)
	open := func(with *http.Client) *copyhold.Client {
		c, err := copyhold.Open(t.Context(), copyhold.Options{
			Endpoints: []string{s.URL()}, KeyFile: filepath.Join(data, "keys", "studio.key"), Product: "lathe", RootSet: root,
			CacheDir: t.TempDir(), HTTPClient: with,
		})
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	if c := open(trusts); !c.Enabled("export") {
		t.Errorf("over TLS:\n%s", c.Why())
	}
	if _, err := open(nil).Acquire(t.Context(), "seats", copyhold.AcquireOptions{}); !errors.Is(err, copyhold.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody trusts: %v", err)
	}
	distrusted(t, s.URL(), filepath.Join(data, "keys", "studio.key"), certificate)
	refusals(t, s.URL(), trusting)
	healthOverTLS(t, strings.TrimPrefix(s.URL(), "https://"), certificate, key)
}

// healthOverTLS runs copyhold health, which need not trust the certificate of the server on this
// machine, and which accepts no other answer as the server's.
func healthOverTLS(t *testing.T, listen, certificate, key string) {
	t.Helper()
	health := func(args ...string) (int, string) {
		var out bytes.Buffer
		return Main(Program{Args: append([]string{"copyhold", "health", "--listen", listen}, args...), Stdout: &out, Stderr: &out}), out.String()
	}
	if status, text := health("--tls-certificate", certificate, "--tls-key", key); status != exitDone || text != "ok\n" {
		t.Errorf("health: exit status %d: %s", status, text)
	}
	if status, text := health(); status != exitUnavailable || !strings.Contains(text, "is not Copyhold") {
		t.Errorf("health without the certificate's settings: exit status %d: %s", status, text)
	}
}

// distrusted runs commands, which trust the system's certificate authorities and those in --ca. An
// unknown certificate authority is reported as invalid settings.
func distrusted(t *testing.T, url, key, certificate string) {
	t.Helper()
	ask := func(environ []string, args ...string) (int, string) {
		var errs bytes.Buffer
		status := Main(Program{
			Args: append([]string{"copyhold", "check", "export", "--url", url, "--key-file", key}, args...), Environ: environ,
			Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs,
		})
		return status, errs.String()
	}
	status, text := ask(nil)
	if status != exitUsage || !strings.Contains(text, "certificate") || !strings.Contains(text, "--ca") || !strings.Contains(text, "SSL_CERT_FILE") {
		t.Errorf("exit status %d: %s", status, text)
	}
	if status, text = ask(nil, "--url", url+","+url); status != exitUsage || !strings.Contains(text, "no server is trusted") {
		t.Errorf("two servers: exit status %d: %s", status, text)
	}
	if status, text = ask(nil, "--url", url+",http://127.0.0.1:1"); status != exitUnavailable {
		t.Errorf("one of them is only away: exit status %d: %s", status, text)
	}
	if status, text = ask(nil, "--ca", certificate); status != exitDone {
		t.Errorf("--ca: exit status %d: %s", status, text)
	}
	if status, text = ask([]string{"COPYHOLD_CA_FILE=" + certificate}); status != exitDone {
		t.Errorf("COPYHOLD_CA_FILE: exit status %d: %s", status, text)
	}
	if status, text = ask(nil, "--ca", key); status != exitUsage || !strings.Contains(text, "no PEM certificate") {
		t.Errorf("a file without certificates: exit status %d: %s", status, text)
	}
}

// refusals checks that the server refuses old TLS versions and connections without TLS.
func refusals(t *testing.T, url string, trusting *x509.CertPool) {
	t.Helper()
	address := strings.TrimPrefix(url, "https://")
	old, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trusting, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err == nil {
		_ = old.Close()
		t.Error("the server accepts TLS 1.1")
	}
	res, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		return
	}
	defer res.Body.Close()
	if res.StatusCode < http.StatusBadRequest {
		t.Errorf("without TLS, the server answers %s", res.Status)
	}
}
