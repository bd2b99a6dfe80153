package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"copyhold.dev/internal/licensing"
)

// admit refuses requests that no route should see: a host name that is not this server's
// (DNS rebinding), and a write that a page of another origin makes a browser send.
func (s *server) admit(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		if !s.knowsHost(r.Host) {
			s.fail(c, newProblem(c, http.StatusMisdirectedRequest, licensing.Forbidden,
				"this server does not accept the name in the Host header; add it to the setting hosts"))
			return
		}
		if !single(r.Header) {
			s.fail(c, newProblem(c, http.StatusBadRequest, licensing.Invalid, "duplicate Authorization, Copyhold-Environment or Idempotency-Key header"))
			return
		}
		if !legible(r) {
			s.fail(c, newProblem(c, http.StatusBadRequest, licensing.Invalid, "path, query and headers must be UTF-8 without control characters"))
			return
		}
		if err := origins.Check(r); err != nil {
			s.fail(c, newProblem(c, http.StatusForbidden, licensing.Forbidden, "a page of another origin must not send writes"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// single reports whether the headers that identify the caller and the request occur once.
// Of two, a proxy in front of this server may have checked the other.
func single(h http.Header) bool {
	return len(h["Authorization"]) <= 1 && len(h["Copyhold-Environment"]) <= 1 && len(h["Idempotency-Key"]) <= 1
}

// legible reports whether the names in a request can be names. Some databases and
// terminals do not accept the rest.
func legible(r *http.Request) bool {
	if !clean(r.URL.Path) || !clean(r.Header.Get("Copyhold-Environment")) || !clean(r.Header.Get("Idempotency-Key")) {
		return false
	}
	query, err := url.QueryUnescape(r.URL.RawQuery)
	return err == nil && clean(query)
}

func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// knowsHost reports whether host names this server. A request without a host does not
// come from a browser, and a health check over HTTP/1.0 may omit it.
func (s *server) knowsHost(host string) bool {
	if host == "" {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".") // a name may end with the root dot
	if name == "localhost" || slices.Contains(s.Hosts, "*") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// address returns the caller's address for limits and the log: the peer's, or the one that
// the nearest trusted proxy reports. Of an IPv6 address it is the /64, which one caller owns.
func (s *server) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := peer.Addr().Unmap()
	if len(s.Proxies) > 0 {
		addr = s.behindProxies(addr, r.Header.Values("X-Forwarded-For"))
	}
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

// behindProxies walks X-Forwarded-For from its end, as long as the sender is trusted.
func (s *server) behindProxies(addr netip.Addr, forwarded []string) netip.Addr {
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && s.isProxy(addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	return addr
}

func (s *server) isProxy(addr netip.Addr) bool {
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
