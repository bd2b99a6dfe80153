package copyhold

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

const maxCAFile = 4 << 20 // bytes

// authorities returns the system's certificate authorities and those of CAFile, nil
// without one.
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
		pool = x509.NewCertPool() // a system without any trusts the file alone
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("copyhold: the file %s holds no certificate in PEM form", o.CAFile)
	}
	return pool, nil
}

// An untrusted error is that a server's certificate is of an authority that this machine
// does not know. Asking again does not help.
type untrusted struct{ cause error }

func (u *untrusted) Unwrap() error { return u.cause }

func (u *untrusted) Error() string {
	return u.cause.Error() + "; name the file with its authority in Options.CAFile, COPYHOLD_CA_FILE or SSL_CERT_FILE"
}

// IsUntrusted reports whether err, of this package or of net/http, is that no certificate
// authority that this machine knows vouches for a server, though its certificate is otherwise
// in order. That is a fault of the settings: see Options.CAFile.
func IsUntrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.Is(err, ErrUntrusted) || errors.As(err, &verification) && !errors.As(err, &name) && !errors.As(err, &invalid)
}
