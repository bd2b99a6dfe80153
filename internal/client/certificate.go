package client

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// maxCAFile bounds a file of certificate authorities, in bytes.
const maxCAFile = 4 << 20

const untrustedAdvice = "\n  name the file with its certificate authority with --ca, COPYHOLD_CA_FILE or, for every program, SSL_CERT_FILE"

// trusting returns h, or a client that also trusts the authorities in the file that the
// settings name.
func (s Settings) trusting(h *http.Client) (*http.Client, error) {
	if s.CA.Value == "" {
		return h, nil
	}
	text, err := ReadFile(s.CA.Value, maxCAFile)
	if err != nil {
		return nil, Errorf(Usage, "reading the certificate authorities that %s names: %w", s.CA.Source, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any trusts the file alone
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, Errorf(Usage, "%s: %s holds no certificate in PEM form", s.CA.Source, s.CA.Value)
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	other := *h
	other.Transport = transport
	return &other, nil
}
