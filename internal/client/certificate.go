package client

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// maxCAFile bounds a file of certificate authorities, in bytes.
const maxCAFile = 4 << 20

const untrustedAdvice = "\n  specify the file with its certificate authority in --ca or COPYHOLD_CA_FILE, or in SSL_CERT_FILE for all programs"

// trusting returns h, or a client that also trusts the certificate authorities in the file
// named in the settings.
func (s Settings) trusting(h *http.Client) (*http.Client, error) {
	if s.CA.Value == "" {
		return h, nil
	}
	text, err := ReadFile(s.CA.Value, maxCAFile)
	if err != nil {
		return nil, Errorf(Usage, "reading the certificate authorities set by %s: %w", s.CA.Source, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without a pool trusts only the file
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, Errorf(Usage, "%s: %s contains no PEM certificate", s.CA.Source, s.CA.Value)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	if own, ok := h.Transport.(*http.Transport); ok {
		transport = own.Clone()
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	other := *h
	other.Transport = transport
	return &other, nil
}
