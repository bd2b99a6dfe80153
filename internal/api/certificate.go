package api

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate returns a TLS configuration with the certificate and key in two
// PEM files. It reads them again if either has changed, so that a certificate can be renewed
// without a restart. The minimum version is TLS 1.2.
func Certificate(certificate, key string, log *slog.Logger) (*tls.Config, error) {
	c := &certificateFiles{certificate: certificate, key: key, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// certificateEvery is the shortest time between two looks at the files.
const certificateEvery = 10 * time.Second

type certificateFiles struct {
	certificate, key string
	log              *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	written [2]time.Time // modification times of certificate and key when they were read
	looked  time.Time
}

func (c *certificateFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > certificateEvery {
		c.looked = time.Now()
		if err := c.readChanged(); err != nil {
			c.log.Error("the new certificate cannot be used; the previous one stays in use", "error", err)
		}
	}
	return c.current, nil
}

// readChanged loads the pair if either file has changed since it was read.
// The caller must have the lock.
func (c *certificateFiles) readChanged() error {
	if at, err := c.modified(); err != nil || at == c.written {
		return err
	}
	return c.read()
}

// read loads the pair. The caller must have the lock, unless nothing else uses c.
func (c *certificateFiles) read() error {
	at, err := c.modified()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return err
	}
	c.current, c.written = &pair, at
	return nil
}

// modified returns the modification times of the files.
func (c *certificateFiles) modified() (at [2]time.Time, err error) {
	for i, name := range []string{c.certificate, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}
