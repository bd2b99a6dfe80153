package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A ca signs certificates for 127.0.0.1.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newCA(t *testing.T) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	return &ca{cert: cert, key: key, next: 2}
}

func (c *ca) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// issue returns a certificate and its key in PEM, and its serial number.
func (c *ca) issue(t *testing.T) (certificate, key []byte, serial int64) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial = c.next
	c.next++
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
	}, c.cert, own.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, raw []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}) }
	return block("CERTIFICATE", raw), block("PRIVATE KEY", der), serial
}

// A served pair of files, with a server that reads them.
type served struct {
	t                *testing.T
	ca               *ca
	certificate, key string
	written          time.Time
	config           *tls.Config
	log              bytes.Buffer
}

func newServed(t *testing.T) *served {
	t.Helper()
	folder := t.TempDir()
	s := &served{t: t, ca: newCA(t), certificate: filepath.Join(folder, "tls.crt"), key: filepath.Join(folder, "tls.key"), written: time.Now()}
	s.renew()
	var err error
	if s.config, err = Certificate(s.certificate, s.key, slog.New(slog.NewTextHandler(&s.log, nil))); err != nil {
		t.Fatal(err)
	}
	return s
}

// renew replaces both files and returns the serial number that is served from then on.
func (s *served) renew() int64 {
	certificate, key, serial := s.ca.issue(s.t)
	s.write(s.certificate, certificate)
	s.write(s.key, key)
	return serial
}

// write replaces a file, at a time of its own.
func (s *served) write(name string, text []byte) {
	s.t.Helper()
	s.written = s.written.Add(time.Second)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chtimes(name, s.written, s.written); err != nil {
		s.t.Fatal(err)
	}
}

// serial is that of the certificate in a new connection, which verifies it.
func (s *served) serial() int64 {
	s.t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	server := tls.Server(there, s.config)
	ended := make(chan error, 1)
	go func() { ended <- server.Handshake() }()
	client := tls.Client(here, &tls.Config{RootCAs: s.ca.pool(), ServerName: "127.0.0.1", Time: time.Now, MinVersion: tls.VersionTLS12})
	if err := client.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	if err := <-ended; err != nil {
		s.t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// expect looks again after the time between two looks at the files.
func (s *served) expect(what string, serial int64, told bool) {
	s.t.Helper()
	time.Sleep(certificateEvery + time.Second)
	if got := s.serial(); got != serial {
		s.t.Errorf("%s: the certificate is number %d, not %d", what, got, serial)
	}
	if is := strings.Contains(s.log.String(), "the previous one stays"); is != told {
		s.t.Errorf("%s: the log says: %q", what, &s.log)
	}
	s.log.Reset()
}

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServed(t)
		if got := s.serial(); got != 2 {
			t.Fatalf("the certificate is number %d", got)
		}
		second := s.renew()
		if got := s.serial(); got != 2 {
			t.Errorf("the files are read for each connection: number %d", got)
		}
		s.expect("renewed", second, false)
		s.expect("unchanged", second, false)
	})
}

func TestABrokenCertificateLeavesTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServed(t)
		good := s.serial()
		s.write(s.certificate, []byte("-----BEGIN CERTIFICATE-----\nnonsense"))
		s.expect("torn", good, true)
		certificate, key, next := s.ca.issue(t)
		s.write(s.certificate, certificate)
		s.expect("the key does not come with it", good, true)
		s.write(s.key, key)
		s.expect("both are there", next, false)
		if err := os.Remove(s.key); err != nil {
			t.Fatal(err)
		}
		s.expect("the key is gone", next, true)
		s.written = s.written.Add(-time.Hour)
		s.expect("brought back, and older", s.renew(), false)
	})
}

func TestAServerDoesNotStartWithoutItsCertificate(t *testing.T) {
	s := newServed(t)
	s.write(s.key, []byte("nonsense"))
	for what, key := range map[string]string{"broken": s.key, "missing": s.key + ".none"} {
		if _, err := Certificate(s.certificate, key, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("a %s key is taken", what)
		}
	}
}
