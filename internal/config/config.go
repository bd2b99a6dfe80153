// Package config defines every setting of the server.
//
// The comments of Config are the manual: `copyhold config` prints them with the
// current values. Each setting is defined in one place only, its field. Its names in
// files, in the environment and on the command line are derived from there. This package
// opens no files that a setting names, except files of secrets.
package config

import (
	"time"
)

// Config contains every setting. A YAML file names a setting by its path, for example
// `limits: {in_flight: 100}`; the environment uses COPYHOLD_LIMITS_IN_FLIGHT and the
// command line --limits-in-flight. A flag overrides the environment, which overrides the
// file, which overrides a systemd credential, which overrides the default.
//
// Keep a secret in a separate file, and set the file's name instead of the secret:
// database_file in YAML, COPYHOLD_DATABASE_FILE in the environment, or --database-file as
// a flag. Or use a systemd credential, here copyhold-database. White space around a secret
// is ignored.
type Config struct {
	// Folder for the database, the sealing key and the root's private part. If it
	// does not exist, it is created so that only its owner can read it.
	Data string `koanf:"data" default:"data"`

	// Database to use. Empty means SQLite in copyhold.db in the data folder. A path
	// is another SQLite file; postgres://USER@HOST/NAME is PostgreSQL.
	Database Secret `koanf:"database"`

	// Password for PostgreSQL, if database contains none. Keep it in a file
	// (database_password_file) or a systemd credential (copyhold-database-password).
	DatabasePassword Secret `koanf:"database_password"`

	// Address to listen on for the API. Port 0 picks a free port. Use an address other
	// than loopback only with TLS, or behind a proxy that terminates TLS.
	Listen string `koanf:"listen" default:"127.0.0.1:7400"`

	// URL that programs and people use to reach the server, if it differs from listen.
	// Requests may use its host name. The former name of this setting, url, still works
	// if public_url is not set, also as --url and COPYHOLD_URL.
	PublicURL string `koanf:"public_url"`

	// Additional host names that requests may use in the Host header, without port.
	// Addresses and localhost are always accepted. Other names are refused, so that no
	// web page can reach the server under its own name (DNS rebinding). "*" accepts all.
	Hosts []string `koanf:"hosts"`

	// Networks of trusted proxies, for example 10.0.0.0/8. The server uses their
	// X-Forwarded-For header for limits per address and for the log.
	Proxies []string `koanf:"proxies"`

	// Address to serve /metrics on without a token; empty for none. Choose an address
	// that only monitoring can reach. On the API's address, /metrics requires a token.
	MetricsListen string `koanf:"metrics_listen"`

	// How long to wait for requests in progress when the server stops.
	Shutdown time.Duration `koanf:"shutdown" default:"20s"`

	// Certificate for HTTPS. Without one, the server uses HTTP.
	TLS TLS `koanf:"tls"`

	// The key that unseals the signing keys.
	Sealing Sealing `koanf:"sealing"`

	// File to which the server appends each signed document before it sends it, one per
	// line; empty for none. Compare it with the log to find documents that were signed
	// but not logged. A document that can't be recorded is not signed.
	Record string `koanf:"record"`

	// The server's log, on standard error.
	Log Log `koanf:"log"`

	// Limits on requests. 0 means the default of each.
	Limits Limits `koanf:"limits"`

	// Memory that the server uses.
	Memory Memory `koanf:"memory"`
}

// TLS names the server's certificate. Set both files, or neither.
type TLS struct {
	// PEM file with the certificate and its chain. The server reloads it when it changes.
	Certificate string `koanf:"certificate"`

	// PEM file with the private key.
	Key string `koanf:"key"`
}

// Sealing sets the sealing key.
type Sealing struct {
	// The age identity that unseals signing keys (AGE-SECRET-KEY-1…), or the whole
	// text of a sealing.key. If empty: the systemd credential copyhold-sealing-key, if
	// there is one, or sealing.key in the data folder, which the first start creates.
	Key Secret `koanf:"key"`
}

// Log sets what the server logs, and in which format.
type Log struct {
	// Minimum log level: debug, info, warn or error. Successful requests of programs
	// are logged at debug.
	Level string `koanf:"level" default:"info" oneof:"debug info warn error"`

	// Log format: text for people, json for programs.
	Format string `koanf:"format" default:"text" oneof:"text json"`
}

// Limits bound the requests that callers can make.
type Limits struct {
	// Maximum number of requests processed at the same time. As the number grows, the
	// server refuses administration first (at half of it), then acquires, usage and
	// renewals, and releases last.
	InFlight int `koanf:"in_flight" default:"2048"`

	// Maximum number of waiting acquires and open streams at the same time.
	Held int `koanf:"held" default:"10000"`

	// Maximum number of open connections; more wait to be accepted.
	Connections int `koanf:"connections" default:"20000"`

	// Maximum number of open connections from one address; 0 means no limit, because
	// many clients can share one address.
	ConnectionsPerAddress int `koanf:"connections_per_address" default:"0"`

	// Refused credentials per second from one address, before it must wait. A valid
	// credential never has to wait because of refused ones.
	BadPerAddress int `koanf:"bad_per_address" default:"20"`

	// Refused credentials per second for the same key or token.
	BadPerPrefix int `koanf:"bad_per_prefix" default:"10"`

	// Requests per second with the keys of one license.
	PerLicense int `koanf:"per_license" default:"50000"`

	// Requests per second with one token.
	PerToken int `koanf:"per_token" default:"500"`
}

// Memory bounds what the server keeps in memory.
type Memory struct {
	// Memory that the server tries to stay within, in MiB: close to it, Go collects garbage
	// more often. 0 is 80 % of the memory of the container or the machine. GOMEMLIMIT in the
	// environment takes precedence.
	Limit int `koanf:"limit_mib" default:"0"`

	// Memory for caches of licenses, documents and credentials, in MiB. When a cache is full, it
	// drops what is used least, which is read from the database when it is needed again.
	Cache int `koanf:"cache_mib" default:"64"`
}
