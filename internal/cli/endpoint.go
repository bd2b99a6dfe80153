package cli

import (
	"context"
	"errors"
	"net/url"
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
	current atomic.Int64
}

// parseEndpoints reads addresses separated by commas.
func parseEndpoints(list setting[string]) (*endpoints, error) {
	e := &endpoints{}
	for _, text := range strings.Split(list.value, ",") {
		text = strings.TrimRight(strings.TrimSpace(text), "/")
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, exitf(exitUsage, "%s: %q is not an http or https address", list.source, text)
		}
		e.urls = append(e.urls, text)
	}
	return e, nil
}

// anywhere asks the server that answered last, and each other one once when it is
// unavailable. What is asked must do nothing twice when it is repeated.
func anywhere[T any](ctx context.Context, e *endpoints, ask func(base string) (T, error)) (T, error) {
	failed := &outage{}
	for range e.urls {
		at := e.current.Load()
		base := e.urls[int(at)%len(e.urls)]
		v, err := ask(base)
		var p *problem
		if !errors.As(err, &p) || p.exitStatus() != exitUnavailable && p.Code != codeUntrusted || len(e.urls) == 1 || ctx.Err() != nil {
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
	reached bool // one of them is trusted, so that asking again may help
	reasons []string
}

func (o *outage) add(base string, p *problem) {
	o.last = *p
	o.unknown = o.unknown || p.Code == codeUnknown
	o.reached = o.reached || p.Code != codeUntrusted
	o.reasons = append(o.reasons, base+": "+p.Error())
}

func (o *outage) problem() *problem {
	p := &problem{Status: o.last.Status, Code: codeUnavailable, Detail: "no server answered\n  " + strings.Join(o.reasons, "\n  ")}
	switch {
	case o.unknown:
		p.Code = codeUnknown
	case !o.reached:
		p.Code, p.Detail = codeUntrusted, "no server is trusted\n  "+strings.Join(o.reasons, "\n  ")
	}
	return p
}
