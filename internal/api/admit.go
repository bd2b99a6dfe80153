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

// admit refuses what no route should see: a name that is not this server's (DNS
// rebinding), and a write that a page of another origin makes a browser send.
func (s *server) admit(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		if !s.knowsHost(r.Host) {
			s.fail(c, newProblem(c, http.StatusMisdirectedRequest, licensing.Forbidden,
				"this server does not answer to the name in Host; add it to the setting hosts"))
			return
		}
		if !single(r.Header) {
			s.fail(c, newProblem(c, http.StatusBadRequest, licensing.Invalid, "a header that says who asks, or which request it is, stands there twice"))
			return
		}
		if !legible(r) {
			s.fail(c, newProblem(c, http.StatusBadRequest, licensing.Invalid, "path, query and headers are UTF-8 without control characters"))
			return
		}
		if err := origins.Check(r); err != nil {
			s.fail(c, newProblem(c, http.StatusForbidden, licensing.Forbidden, "a page of another origin may not write here"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// single reports whether what tells who asks, and what is asked, is said once: of two,
// what stands in front of this server may have checked the other.
func single(h http.Header) bool {
	return len(h["Authorization"]) <= 1 && len(h["Copyhold-Environment"]) <= 1 && len(h["Idempotency-Key"]) <= 1
}

// legible reports whether what names things in a request can be a name: neither
// every database nor every terminal takes the rest.
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

// knowsHost reports whether host names this server. Without one it is no
// browser that asks, and a health check of HTTP/1.0 may.
func (s *server) knowsHost(host string) bool {
	if host == "" {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".") // a name may end with the root's dot
	if name == "localhost" || slices.Contains(s.Hosts, "*") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// address returns who is asking, for limits and the log: the peer, or what the
// nearest believed proxy says; of an IPv6 address its /64, which one caller owns.
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

// behindProxies walks X-Forwarded-For from its end, as long as the sender is believed.
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
