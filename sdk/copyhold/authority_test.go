//go:build go1.25

package copyhold

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

// An unknown certificate authority is a configuration error. The error names the setting, and no
// license is taken away. With the authority, the client works.
func TestAnUnknownAuthorityIsAFaultOfTheSettings(t *testing.T) {
	v := newVendor(t, time.Now)
	server := httptest.NewTLSServer(v.handler())
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for name, tc := range map[string]struct {
		file, env string
		want      license.State
	}{
		"without it":         {want: license.StateNone},
		"in the options":     {file: authority, want: license.StateValid},
		"in the environment": {env: authority, want: license.StateValid},
	} {
		o := v.options()
		o.Endpoints, o.CAFile = []string{server.URL}, tc.file
		c, err := open(t.Context(), o, realSystem(func(name string) string { return map[string]string{"COPYHOLD_CA_FILE": tc.env}[name] }))
		must(t, err)
		if c.State() != tc.want {
			t.Errorf("%s: %s", name, c.Why())
		}
		if err := c.Refresh(t.Context()); tc.want == license.StateNone {
			if !errors.Is(err, ErrUnavailable) || !IsUntrusted(err) {
				t.Errorf("%s: %v", name, err)
			}
			for _, part := range []string{"a server's certificate is not trusted", "CAFile", "SSL_CERT_FILE"} {
				contains(t, c.LastError().Error(), part)
				contains(t, c.Check("export").Reason, part)
			}
		} else if err != nil || IsUntrusted(err) {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
	}
}

func TestAWrongAuthorityFileIsTold(t *testing.T) {
	v := newVendor(t, time.Now)
	for name, file := range map[string]string{"missing": filepath.Join(t.TempDir(), "ca.pem"), "no certificate": writeFile(t, []byte("hello")), "a folder": t.TempDir()} {
		o := v.options()
		o.CAFile = file
		if _, err := open(t.Context(), o, realSystem(func(string) string { return "" })); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			contains(t, err.Error(), file)
		}
	}
}
