package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// elsewhereAfter is how long a licensed program's request waits for one server's
// answer when there is another to ask.
const elsewhereAfter = 5 * time.Second

// endpoints are the servers of one deployment, the preferred one first. Who asks
// stays with the one that answers, and moves on when it fails. Safe for concurrent
// use.
type endpoints struct {
	urls    []string
	source  string // who named them: a flag, a variable, a file or "default"
	current atomic.Int64
}

// parseEndpoints reads addresses separated by commas.
func parseEndpoints(list setting[string]) (*endpoints, error) {
	e := &endpoints{source: list.source}
	for _, text := range strings.Split(list.value, ",") {
		text = strings.TrimRight(strings.TrimSpace(text), "/")
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, exitf(exitUsage, "%s: %q is not an http or https address", list.source, hideUser(text))
		}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
			return nil, exitf(exitUsage, "%s: %q: a port is a number from 1 to 65535", list.source, hideUser(text))
		}
		if u.User != nil || strings.ContainsAny(text, "?#") {
			return nil, exitf(exitUsage, "%s: %q: the address of a server has no user, query or fragment", list.source, hideUser(text))
		}
		e.urls = append(e.urls, text)
	}
	return e, nil
}

// hideUser returns an address that somebody typed without what could be a password.
func hideUser(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		scheme, _, found := strings.Cut(text[:at], "://")
		if !found {
			scheme = ""
		}
		return scheme + "://…" + text[at:]
	}
	return text
}

// unreached says why no answer came from base: an outage, or an address that can't be
// right.
func unreached(base string, err error) *problem {
	var name x509.HostnameError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return misaddressed("%s does not speak HTTPS: write http://", base)
	case errors.As(err, &name):
		return misaddressed("%s: %v", base, name)
	}
	return &problem{Code: codeUnavailable, Detail: err.Error()}
}

// misdirected says so where an answer that is not Copyhold's shows that base can't be
// the right address, and is nil otherwise.
func misdirected(base string, resp *http.Response, body []byte) *problem {
	switch {
	case resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusPermanentRedirect:
		return misaddressed("%s has moved for good, to %s: name that server", base, resp.Header.Get("Location"))
	case resp.StatusCode == http.StatusBadRequest && strings.HasPrefix(base, "http://") && bytes.Contains(body, []byte("HTTPS")):
		return misaddressed("%s speaks HTTPS: write https://", base)
	}
	return nil
}

func misaddressed(format string, args ...any) *problem {
	return &problem{wrong: true, Detail: fmt.Sprintf(format, args...)}
}

// anywhere asks the server that answered last, and each other one once when it is
// unavailable or at the wrong address. What is asked must do nothing twice when it is repeated.
func anywhere[T any](ctx context.Context, e *endpoints, ask func(base string) (T, error)) (T, error) {
	failed := &outage{}
	for range e.urls {
		at := e.current.Load()
		base := e.urls[int(at)%len(e.urls)]
		v, err := ask(base)
		var p *problem
		if !errors.As(err, &p) || !p.elsewhere() || len(e.urls) == 1 || ctx.Err() != nil {
			return v, err
		}
		failed.add(base, p)
		e.current.CompareAndSwap(at, at+1) // unless another request has moved on already
	}
	var none T
	return none, failed.problem()
}

// An outage is what every server did instead of answering.
type outage struct {
	last    problem
	unknown bool // one of them may have done what it was asked
	may     bool // one of them may answer later
	reached bool // one of them is trusted
	reasons []string
}

func (o *outage) add(base string, p *problem) {
	o.last = *p
	o.unknown = o.unknown || p.Code == codeUnknown
	o.may = o.may || !p.wrong
	o.reached = o.reached || p.Code != codeUntrusted
	o.reasons = append(o.reasons, base+": "+p.Error())
}

func (o *outage) problem() *problem {
	p := &problem{Status: o.last.Status, Code: codeUnavailable, Detail: "no server answered\n  " + strings.Join(o.reasons, "\n  ")}
	switch {
	case o.unknown:
		p.Code = codeUnknown
	case !o.reached:
		p.Code, p.Detail, p.wrong = codeUntrusted, "no server is trusted\n  "+strings.Join(o.reasons, "\n  "), true
	case !o.may:
		p.Code, p.wrong = "", true
	}
	return p
}

// elsewhere reports whether another server may answer what this one did not.
func (p *problem) elsewhere() bool {
	return p.exitStatus() == exitUnavailable || p.wrong && p.Code != "invalid"
}
