package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/config"
)

// signedBySelf writes a self-signed certificate that is valid between two times, with its key.
func signedBySelf(t *testing.T, from, until time.Time) config.TLS {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until, DNSNames: []string{"licenses.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	folder := t.TempDir()
	files := config.TLS{Certificate: filepath.Join(folder, "tls.crt"), Key: filepath.Join(folder, "tls.key")}
	must(t, os.WriteFile(files.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(files.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	return files
}

func TestDoctorChecksTheCertificate(t *testing.T) {
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	in := func(days float64) time.Time { return now.Add(time.Duration(days * 24 * float64(time.Hour))) }
	year := signedBySelf(t, in(-10), in(355.5))
	for name, test := range map[string]struct {
		files         config.TLS
		outcome, says string
	}{
		"none":                      {},
		"good":                      {year, "ok", "in 355 days"},
		"ends next week":            {signedBySelf(t, in(-80), in(9.5)), "warning", "in 9 days: renew it"},
		"of six days, new":          {signedBySelf(t, in(-1), in(5)), "ok", "in 5 days"},
		"of six days, one day left": {signedBySelf(t, in(-5), in(1)), "warning", "in 1 day: renew it"},
		"ended":                     {signedBySelf(t, in(-90), in(-0.5)), "failed", "expired at 2026-11-30T12:00:00Z"},
		"not begun":                 {signedBySelf(t, in(1), in(90)), "failed", "not valid before 2026-12-02T00:00:00Z"},
		"another's key":             {config.TLS{Certificate: year.Certificate, Key: signedBySelf(t, in(-1), in(9)).Key}, "failed", "private key does not match"},
		"no such file":              {config.TLS{Certificate: "nowhere.crt", Key: year.Key}, "failed", "nowhere.crt"},
		"no certificate in it":      {config.TLS{Certificate: year.Key, Key: year.Key}, "failed", "certificate"},
	} {
		d := &doctor{}
		d.certificate(test.files, now)
		var found finding
		if len(d.findings) > 0 {
			found = d.findings[0]
		}
		if found.Outcome != test.outcome || !strings.Contains(found.Detail, test.says) {
			t.Errorf("%s: %q %s", name, found.Outcome, found.Detail)
		}
	}
}

// The certificate of a running server need not name its listen address.
func TestDoctorFindsARunningServerWithACertificate(t *testing.T) {
	files := signedBySelf(t, time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour))
	data := t.TempDir()
	s, err := startTestServerWith("", map[string]string{
		"data": data, "listen": "127.0.0.1:0", "shutdown": "2s", "tls.certificate": files.Certificate, "tls.key": files.Key,
	}, demoEnvironments())
	must(t, err)
	t.Cleanup(func() { must(t, s.close()) })
	environ := []string{"XDG_CONFIG_HOME=" + t.TempDir()}
	address := s.listener.Addr().String()
	// Use another database, because this process must not open the same file twice.
	args := []string{"doctor", "--data", t.TempDir() + "/new", "--listen", address}
	status, said := command(environ, append(args, "--tls-certificate", files.Certificate, "--tls-key", files.Key)...)
	if status != exitDone || !strings.Contains(said, "Copyhold answers at "+address) || !strings.Contains(said, "specify the server with --url") {
		t.Errorf("exit status %d: %s", status, said)
	}
	status, said = command(environ, args...)
	if status != exitFailed || !strings.Contains(said, "Copyhold does not answer") {
		t.Errorf("without its certificate: exit status %d: %s", status, said)
	}
}
