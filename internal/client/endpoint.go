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

// elsewhereAfter is how long a licensed program waits for one server's answer if it can
// try another.
const elsewhereAfter = 5 * time.Second

// Endpoints are the servers of one deployment, preferred first. A client stays with the one
// that answers, and moves to the next when it fails. Endpoints is safe for concurrent use.
type Endpoints struct {
	urls    []string
	Source  string // where they were set: a flag, a variable, a file or "default"
	current atomic.Int64
}

// At returns the endpoints for addresses that are known to be valid, preferred first.
func At(urls ...string) *Endpoints { return &Endpoints{urls: urls} }

// parseEndpoints reads comma-separated addresses.
func parseEndpoints(list Setting[string]) (*Endpoints, error) {
	e := &Endpoints{Source: list.Source}
	for _, text := range strings.Split(list.Value, ",") {
		text = strings.TrimRight(strings.TrimSpace(text), "/")
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, Errorf(Usage, "%s: %q is not an http or https address", list.Source, hideUser(text))
		}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
			return nil, Errorf(Usage, "%s: %q: the port must be a number from 1 to 65535", list.Source, hideUser(text))
		}
		if u.User != nil || strings.ContainsAny(text, "?#") {
			return nil, Errorf(Usage, "%s: %q: a server's address must not contain a user, query or fragment", list.Source, hideUser(text))
		}
		e.urls = append(e.urls, text)
	}
	return e, nil
}

// hideUser removes from an address the part that could contain a password.
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

// unreached returns why no answer came from base: an outage, or an invalid address.
func unreached(base string, err error) *Problem {
	var name x509.HostnameError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return misaddressed("%s does not use HTTPS: change the address to http://", base)
	case errors.As(err, &name):
		return misaddressed("%s: %v", base, name)
	}
	return &Problem{Code: CodeUnavailable, Detail: err.Error()}
}

// misdirected returns a problem if an answer that is not Copyhold's shows that base is the
// wrong address, and nil otherwise.
func misdirected(base string, resp *http.Response, body []byte) *Problem {
	switch {
	case resp.StatusCode == http.StatusMovedPermanently || resp.StatusCode == http.StatusPermanentRedirect:
		return misaddressed("%s has moved permanently to %s: use that address instead", base, resp.Header.Get("Location"))
	case resp.StatusCode == http.StatusBadRequest && strings.HasPrefix(base, "http://") && bytes.Contains(body, []byte("HTTPS")):
		return misaddressed("%s uses HTTPS: change the address to https://", base)
	}
	return nil
}

func misaddressed(format string, args ...any) *Problem {
	return &Problem{Wrong: true, Detail: fmt.Sprintf(format, args...)}
}

// anywhere asks the server that answered last. If that server is unavailable or its address
// is wrong, anywhere asks each of the others once. The request must be safe to repeat.
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
		e.current.CompareAndSwap(at, at+1) // unless another request has already moved on
	}
	var none T
	return none, failed.problem()
}

// An outage collects what each server did instead of answering.
type outage struct {
	last    Problem
	unknown bool // one of them may have carried out the request
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

// elsewhere reports whether another server may answer instead of this one.
func (p *Problem) elsewhere() bool {
	return p.kind() == Unavailable || p.Wrong && p.Code != "invalid"
}
