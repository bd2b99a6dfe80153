package client

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

// Endpoints are the servers of one deployment, the preferred one first. A client
// stays with the one that answers, and moves on when it fails. Safe for concurrent
// use.
type Endpoints struct {
	urls    []string
	Source  string // who named them: a flag, a variable, a file or "default"
	current atomic.Int64
}

// At returns the endpoints at addresses that are known to be right, the preferred one first.
func At(urls ...string) *Endpoints { return &Endpoints{urls: urls} }

// parseEndpoints reads addresses separated by commas.
func parseEndpoints(list Setting[string]) (*Endpoints, error) {
	e := &Endpoints{Source: list.Source}
	for _, text := range strings.Split(list.Value, ",") {
		text = strings.TrimRight(strings.TrimSpace(text), "/")
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, Errorf(Usage, "%s: %q is not an http or https address", list.Source, hideUser(text))
		}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
			return nil, Errorf(Usage, "%s: %q: a port is a number from 1 to 65535", list.Source, hideUser(text))
		}
		if u.User != nil || strings.ContainsAny(text, "?#") {
			return nil, Errorf(Usage, "%s: %q: the address of a server has no user, query or fragment", list.Source, hideUser(text))
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
func unreached(base string, err error) *Problem {
	var name x509.HostnameError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return misaddressed("%s does not speak HTTPS: write http://", base)
	case errors.As(err, &name):
		return misaddressed("%s: %v", base, name)
	}
	return &Problem{Code: CodeUnavailable, Detail: err.Error()}
}

// misdirected says so where an answer that is not Copyhold's shows that base can't be
// the right address, and is nil otherwise.
func misdirected(base string, resp *http.Response, body []byte) *Problem {
	switch {
	case resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusPermanentRedirect:
		return misaddressed("%s has moved for good, to %s: name that server", base, resp.Header.Get("Location"))
	case resp.StatusCode == http.StatusBadRequest && strings.HasPrefix(base, "http://") && bytes.Contains(body, []byte("HTTPS")):
		return misaddressed("%s speaks HTTPS: write https://", base)
	}
	return nil
}

func misaddressed(format string, args ...any) *Problem {
	return &Problem{Wrong: true, Detail: fmt.Sprintf(format, args...)}
}

// anywhere asks the server that answered last, and each other one once when it is
// unavailable or at the wrong address. What is asked must do nothing twice when it is repeated.
func anywhere[T any](ctx context.Context, e *Endpoints, ask func(base string) (T, error)) (T, error) {
	failed := &outage{}
	for range e.urls {
		at := e.current.Load()
		base := e.urls[int(at)%len(e.urls)]
		v, err := ask(base)
		var p *Problem
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
	last    Problem
	unknown bool // one of them may have done what it was asked
	may     bool // one of them may answer later
	reached bool // one of them is trusted
	reasons []string
}

func (o *outage) add(base string, p *Problem) {
	o.last = *p
	o.unknown = o.unknown || p.Code == CodeUnknown
	o.may = o.may || !p.Wrong
	o.reached = o.reached || p.Code != codeUntrusted
	o.reasons = append(o.reasons, base+": "+p.Error())
}

func (o *outage) problem() *Problem {
	p := &Problem{Status: o.last.Status, Code: CodeUnavailable, Detail: "no server answered\n  " + strings.Join(o.reasons, "\n  ")}
	switch {
	case o.unknown:
		p.Code = CodeUnknown
	case !o.reached:
		p.Code, p.Detail, p.Wrong = codeUntrusted, "no server is trusted\n  "+strings.Join(o.reasons, "\n  "), true
	case !o.may:
		p.Code, p.Wrong = "", true
	}
	return p
}

// elsewhere reports whether another server may answer what this one did not.
func (p *Problem) elsewhere() bool {
	return p.kind() == Unavailable || p.Wrong && p.Code != "invalid"
}
