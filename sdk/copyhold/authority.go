package copyhold

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

const maxCAFile = 4 << 20 // bytes

// authorities returns the system's certificate authorities plus those in CAFile, or nil if CAFile
// is not set.
func (o Options) authorities() (*x509.CertPool, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	content, err := readAtMost(o.CAFile, maxCAFile)
	if err != nil {
		return nil, fmt.Errorf("copyhold: reading the certificate authorities: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // the system has none: trust only the file
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("copyhold: the file %s contains no certificate in PEM form", o.CAFile)
	}
	return pool, nil
}

// An untrusted error reports a server certificate from an authority that this machine does not
// know. Retrying does not help.
type untrusted struct{ cause error }

func (u *untrusted) Unwrap() error { return u.cause }

func (u *untrusted) Error() string {
	return u.cause.Error() + "; name the file with its authority in Options.CAFile, COPYHOLD_CA_FILE, or SSL_CERT_FILE"
}

// IsUntrusted reports whether err, from this package or from net/http, means that a server's
// certificate is from an authority that this machine does not know. The certificate is otherwise in
// order, so this is a configuration error: see Options.CAFile.
func IsUntrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.Is(err, ErrUntrusted) || errors.As(err, &verification) && !errors.As(err, &name) && !errors.As(err, &invalid)
}
