package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// check returns an error for every invalid setting.
func (l Loaded) check() error {
	var faults []error
	wrong := func(path, want string) {
		faults = append(faults, fmt.Errorf("%s (from %s): %s", path, l.Origin(path), want))
	}
	if l.Data == "" {
		wrong("data", "set a folder")
	}
	if !isAddress(l.Listen) {
		wrong("listen", "use an address such as 127.0.0.1:7400")
	}
	if l.MetricsListen != "" && !isAddress(l.MetricsListen) {
		wrong("metrics_listen", "use an address such as 127.0.0.1:7401")
	}
	if l.PublicURL != "" && !isURL(l.PublicURL) {
		wrong("public_url", "use a URL such as https://licenses.example.com")
	}
	l.checkDatabase(wrong)
	if l.Shutdown < time.Second || l.Shutdown > 10*time.Minute {
		wrong("shutdown", "use a duration from 1s to 10m")
	}
	if (l.TLS.Certificate == "") != (l.TLS.Key == "") {
		wrong("tls.certificate", "set both the certificate and the key, or neither")
	}
	for _, host := range l.Hosts {
		if why := neverMatches(host); why != "" {
			wrong("hosts", fmt.Sprintf("%q cannot match any request: %s", host, why))
		}
	}
	if _, err := l.ProxyNetworks(); err != nil {
		wrong("proxies", "use networks such as 10.0.0.0/8")
	}
	l.checkChoices(wrong)
	l.checkLimits(wrong)
	l.checkMemory(wrong)
	return errors.Join(faults...)
}

// checkDatabase refuses a connection string that would be mistaken for a file name, which
// would show its password to everyone who lists the folder.
func (l Loaded) checkDatabase(wrong func(path, want string)) {
	db := l.Database.Reveal()
	scheme, rest, isURL := strings.Cut(db, "://")
	if isURL && !l.Postgres() || keywords(db) {
		wrong("database", "use a path or postgres://USER@HOST/NAME")
		return
	}
	if l.DatabasePassword == "" {
		return
	}
	authority, query, _ := strings.Cut(rest, "?")
	user, _, _ := strings.Cut(authority, "@")
	switch {
	case !l.Postgres():
		wrong("database_password", "database is not a PostgreSQL server: use postgres://USER@HOST/NAME")
	case strings.Contains(authority, "@") && strings.Contains(user, ":"), strings.Contains("&"+query, "&password="):
		wrong("database_password", "database also contains a password: remove it from the "+scheme+":// URL")
	}
}

// keywords reports whether s is a libpq connection string, for example host=… user=…
func keywords(s string) bool {
	for word := range strings.FieldsSeq(s) {
		if name, _, ok := strings.Cut(word, "="); ok && slices.Contains([]string{"host", "hostaddr", "dbname", "user", "password", "service"}, name) {
			return true
		}
	}
	return false
}

func (l Loaded) checkChoices(wrong func(path, want string)) {
	chosen := map[string]string{"log.level": l.Log.Level, "log.format": l.Log.Format}
	for _, s := range Settings() {
		if len(s.oneOf) > 0 && !slices.Contains(s.oneOf, chosen[s.Path]) {
			wrong(s.Path, "use one of "+strings.Join(s.oneOf, ", "))
		}
	}
}

func (l Loaded) checkLimits(wrong func(path, want string)) {
	for path, value := range map[string]int{
		"limits.in_flight": l.Limits.InFlight, "limits.held": l.Limits.Held, "limits.connections": l.Limits.Connections,
		"limits.connections_per_address": l.Limits.ConnectionsPerAddress, "limits.bad_per_address": l.Limits.BadPerAddress,
		"limits.bad_per_prefix": l.Limits.BadPerPrefix, "limits.per_license": l.Limits.PerLicense, "limits.per_token": l.Limits.PerToken,
	} {
		if value < 0 {
			wrong(path, "the number must not be negative")
		}
	}
}

// smallestCache is the memory for caches in which a license with the largest documents fits, and
// smallestLimit what a server needs at least, both in MiB.
const (
	smallestCache = 4
	smallestLimit = 64
)

func (l Loaded) checkMemory(wrong func(path, want string)) {
	if l.Memory.Limit != 0 && l.Memory.Limit < smallestLimit {
		wrong("memory.limit_mib", fmt.Sprintf("0, or at least %d, is required", smallestLimit))
	}
	if l.Memory.Cache < smallestCache {
		wrong("memory.cache_mib", fmt.Sprintf("at least %d is required; a license with its largest documents does not fit in less", smallestCache))
	}
	if l.Memory.Limit >= smallestLimit && l.Memory.Cache > l.Memory.Limit/2 {
		wrong("memory.cache_mib", "caches can use at most half of memory.limit_mib")
	}
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && neverMatches(u.Hostname()) == "" && (u.Scheme == "http" || u.Scheme == "https")
}

// neverMatches returns why no request can have this name in its Host header, or "".
func neverMatches(host string) string {
	const want = "use a name such as licenses.example.com, or * for all"
	_, port, err := net.SplitHostPort(host)
	switch _, noAddress := netip.ParseAddr(strings.Trim(host, "[]")); {
	case host == "*" || noAddress == nil:
		return ""
	case strings.Contains(host, "://"):
		return "omit the scheme; " + want
	case err == nil && port != "":
		return "omit the port; " + want
	case strings.Contains(host, "*"):
		return "patterns are not supported; " + want
	case strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }):
		return "write non-ASCII names in their ASCII form, xn--…"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || len(host) > 254 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return want
		}
	}
	return ""
}

func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// Exposed reports whether other machines can reach the server without encryption, so that
// license keys and tokens cross the network in the clear: the server has no certificate, and
// no proxies are set that could terminate TLS.
func (c Config) Exposed() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil || c.TLS.Certificate != "" || len(c.Proxies) > 0 || strings.EqualFold(host, "localhost") {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err != nil || !addr.IsLoopback()
}

// Postgres reports whether the database is PostgreSQL.
func (c Config) Postgres() bool {
	db := c.Database.Reveal()
	return strings.HasPrefix(db, "postgres://") || strings.HasPrefix(db, "postgresql://")
}

// ProxyNetworks returns the networks of trusted proxies.
func (c Config) ProxyNetworks() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, s := range c.Proxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, addrErr := netip.ParseAddr(s)
			if addrErr != nil {
				return nil, err
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// HostNames returns the names that requests may have in their Host header: those in hosts,
// and the host of public_url.
func (c Config) HostNames() []string {
	var names []string
	for _, host := range c.Hosts {
		names = append(names, strings.TrimSuffix(host, "."))
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	return names
}
