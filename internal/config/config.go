// Package config holds every setting of the server.
//
// The comments of Config are the manual: `copyhold config` prints them with the
// values in force. A setting stands in one place only, its field; its name in
// files, in the environment and on the command line follow from it. This package
// opens nothing that a setting names but the files of secrets.
package config

import (
	"time"
)

// Config is every setting. In a YAML file a setting is named by its path, as in
// `limits: {in_flight: 100}`; in the environment as COPYHOLD_LIMITS_IN_FLIGHT; as
// a flag as --limits-in-flight. A flag wins over the environment, the environment
// over the file, the file over a systemd credential, that over the default.
//
// A secret is better kept in a file of its own, whose name takes the place of the
// secret: database_file in YAML, COPYHOLD_DATABASE_FILE in the environment,
// --database-file as a flag; or it is the systemd credential copyhold-database. White
// space around a secret does not belong to it.
type Config struct {
	// Folder for the database, the sealing key and the root's private part. It is
	// created when missing, readable only by its owner.
	Data string `koanf:"data" default:"data"`

	// Database to use. Empty is SQLite in copyhold.db in the data folder. A path
	// is another SQLite file; postgres://USER@HOST/NAME is PostgreSQL.
	Database Secret `koanf:"database"`

	// Password for PostgreSQL, where database names none. Keep it in a file
	// (database_password_file) or a systemd credential (copyhold-database-password).
	DatabasePassword Secret `koanf:"database_password"`

	// Address to answer the API on. Port 0 picks a free one. Bind it to another
	// address than loopback together with TLS, or behind a proxy that ends TLS.
	Listen string `koanf:"listen" default:"127.0.0.1:7400"`

	// Address programs and people reach the server by, if it differs from listen.
	// Its host is accepted in requests. It was called url, which still counts where
	// this is not set, with --url and COPYHOLD_URL.
	PublicURL string `koanf:"public_url"`

	// More names that requests may carry in Host, without port. Addresses and
	// localhost are always accepted; other names are refused, so that no page can
	// reach the server under a name of its own (DNS rebinding). "*" accepts all.
	Hosts []string `koanf:"hosts"`

	// Networks of proxies whose X-Forwarded-For is believed, as 10.0.0.0/8. It
	// matters for limits by address and for the log.
	Proxies []string `koanf:"proxies"`

	// Address to answer /metrics on without a token; empty for none. Bind it where
	// only monitoring reaches it. On the API's address /metrics needs a token.
	MetricsListen string `koanf:"metrics_listen"`

	// How long a stopping server lets requests end.
	Shutdown time.Duration `koanf:"shutdown" default:"20s"`

	// Certificate for HTTPS; without one the server speaks HTTP.
	TLS TLS `koanf:"tls"`

	// What unseals the signing keys.
	Sealing Sealing `koanf:"sealing"`

	// File to which each signed document is appended before it is sent, a line
	// each; empty for none. Held against the log it shows what was signed and not
	// logged. What can't be recorded is not signed.
	Record string `koanf:"record"`

	// The server's log, on standard error.
	Log Log `koanf:"log"`

	// Bounds on what callers may ask for. 0 is the default of each.
	Limits Limits `koanf:"limits"`
}

// TLS names the server's certificate. Both files or none.
type TLS struct {
	// PEM file with the certificate and its chain. It is read again when it changes.
	Certificate string `koanf:"certificate"`

	// PEM file with the private key.
	Key string `koanf:"key"`
}

// Sealing is where the sealing key is.
type Sealing struct {
	// The age identity that unseals signing keys (AGE-SECRET-KEY-1…), or the whole
	// text of a sealing.key. Empty: the systemd credential copyhold-sealing-key, if
	// there is one, or sealing.key in the data folder, which the first start creates.
	Key Secret `koanf:"key"`
}

// Log says what is logged and how.
type Log struct {
	// Least level to log: debug, info, warn or error. Requests of programs that
	// succeed are logged at debug.
	Level string `koanf:"level" default:"info" oneof:"debug info warn error"`

	// text for people, json for machines.
	Format string `koanf:"format" default:"text" oneof:"text json"`
}

// Limits bound what callers may ask for.
type Limits struct {
	// Requests worked on at the same time. When it is reached, administration is
	// refused first (at half of it), then acquires, usage and renewals; releases last.
	InFlight int `koanf:"in_flight" default:"2048"`

	// Waiting acquires and open streams at the same time.
	Held int `koanf:"held" default:"10000"`

	// Connections at the same time; more wait to be accepted.
	Connections int `koanf:"connections" default:"20000"`

	// Connections at the same time from one address; 0 is no bound, because many
	// may stand behind one address.
	ConnectionsPerAddress int `koanf:"connections_per_address" default:"0"`

	// Refused credentials a second from one address, before it has to wait. A
	// credential that the server knows is never made to wait for those it refuses.
	BadPerAddress int `koanf:"bad_per_address" default:"20"`

	// Refused credentials a second that name the same key or token.
	BadPerPrefix int `koanf:"bad_per_prefix" default:"10"`

	// Requests a second with the keys of one license.
	PerLicense int `koanf:"per_license" default:"50000"`

	// Requests a second with one token.
	PerToken int `koanf:"per_token" default:"500"`
}
