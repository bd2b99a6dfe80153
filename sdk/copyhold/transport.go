package copyhold

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	connectTimeout    = 2 * time.Second
	attemptTimeout    = 5 * time.Second
	foregroundTimeout = 8 * time.Second
	backgroundTimeout = 30 * time.Second

	foregroundAttempts = 3
	retryBase          = 200 * time.Millisecond
	retryCap           = 2 * time.Second
	budgetPerCall      = 0.2 // retries earned by a call
	budgetLimit        = 10.0

	maxAnswer = 1 << 20
)

// A transport sends calls to the first endpoint that works. An answer counts only if the call
// accepts it, which means that a signature in it was verified. Everything else, whatever its
// status, is an infrastructure failure. A transport is safe for concurrent use.
type transport struct {
	client *http.Client
	own    *http.Transport // nil if Options.HTTPClient was set
	agent  string
	boot   func() time.Duration
	reread func() bool // reads the license key again and reports whether it changed; may be nil

	mu        sync.Mutex
	key       string
	endpoints []*endpoint
	current   int
	failures  int // number of failed attempts so far
	budget    float64
}

// A call is one request that may be tried several times, at several endpoints. Its body makes
// repetitions harmless.
type call struct {
	method, path string
	body         any
	attempts     int           // the maximum; 0 means once at each endpoint, in the background
	timeout      time.Duration // of one attempt
	key          string        // the only key that it may be sent with; "" means the key in use
	accept       func(ctx context.Context, from string, a answer) error
}

// An answer is the response of an endpoint, at most 1 MiB of it.
type answer struct {
	status int
	header http.Header
	body   []byte
	key    string // key that the request carried
}

func newTransport(o Options, key string, boot func() time.Duration) (*transport, error) {
	t := &transport{key: key, agent: agentOf(o), boot: boot, budget: foregroundAttempts}
	for _, raw := range o.Endpoints {
		u, err := url.Parse(strings.TrimRight(strings.TrimSpace(raw), "/"))
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" {
			return nil, fmt.Errorf("endpoint %q is not an http or https URL", raw)
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			o.Logger.Warn("the license key is sent unencrypted; use an https endpoint", "endpoint", u.String())
		}
		t.endpoints = append(t.endpoints, &endpoint{url: u.String()})
	}
	authorities, err := o.authorities()
	if err != nil {
		return nil, err
	}
	client := &http.Client{}
	if o.HTTPClient != nil {
		*client = *o.HTTPClient
	} else {
		t.own = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        60 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
			ForceAttemptHTTP2:      true,
		}
		if authorities != nil {
			t.own.TLSClientConfig = &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
		}
		client.Transport = t.own
	}
	// Another server may answer a redirect, and must not receive the key.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil
	client.Timeout = 0
	t.client = client
	return t, nil
}

// agentOf returns the User-Agent: the program, its version, and this library.
func agentOf(o Options) string {
	program := o.Product
	if o.Version != "" {
		program += "/" + o.Version
	}
	return strings.Map(visible, program) + " copyhold-go/1"
}

func visible(r rune) rune {
	if r <= ' ' || r > '~' {
		return '_'
	}
	return r
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (t *transport) close() {
	if t.own != nil {
		t.own.CloseIdleConnections()
	}
}

// setKey sets the key that requests carry.
func (t *transport) setKey(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.key = key
}

func (t *transport) keyOf(c call) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cmp.Or(c.key, t.key)
}

// do tries the call until an answer is accepted. Otherwise it returns an *unreachable, or the error
// of ctx if ctx has ended. If a server refuses the key and the key file contains another one, do
// tries that key.
func (t *transport) do(ctx context.Context, c call) error {
	err := t.once(ctx, c)
	var u *unreachable
	if errors.As(err, &u) && u.unauthorized && c.key == "" && t.reread != nil && t.reread() {
		err = t.once(ctx, c)
	}
	return err
}

func (t *transport) once(ctx context.Context, c call) error {
	body, err := json.Marshal(c.body)
	if err != nil {
		return err
	}
	limit, background := c.attempts, c.attempts == 0
	if background {
		limit = len(t.endpoints)
	}
	failed := &unreachable{}
	tried := map[*endpoint]bool{}
	for attempt := range limit {
		e := t.pick(tried, attempt > 0, background)
		if e == nil {
			break
		}
		if tried[e] {
			if !sleep(ctx, rand.N(min(retryBase<<attempt, retryCap))) {
				break
			}
		}
		final, err := t.try(ctx, e, c, body)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("asking %s: %w", e.url, ctx.Err())
		}
		tried[e] = true
		failed.add(e, err)
		failed.judge(err)
		if final && len(tried) == len(t.endpoints) {
			break
		}
	}
	if err := ctx.Err(); err != nil && len(failed.reasons) == 0 {
		return fmt.Errorf("asking a server: %w", err)
	}
	failed.retry = t.opensIn()
	return failed
}

// try sends the call once. Final means that another attempt at the same endpoint is useless.
func (t *transport) try(ctx context.Context, e *endpoint, c call, body []byte) (final bool, err error) {
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	began := t.begin()
	a, err := t.send(within, e.url, c, body)
	if err != nil {
		a = answer{} // an incomplete answer means nothing
	} else if err = t.accepted(within, e.url, c, a); err == nil {
		t.succeeded(e, began)
		return false, nil
	}
	if ctx.Err() != nil {
		t.abandoned(e)
		return true, err
	}
	t.failed(e, err, a)
	final = a.status >= 300 && a.status < 500 && a.status != http.StatusTooManyRequests && a.status != http.StatusRequestTimeout
	return final, err
}

// accepted passes the answer to the call, and turns a panic in parsing into a refusal of the
// answer.
func (t *transport) accepted(ctx context.Context, from string, c call, a answer) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading the answer: %v", r)
		}
	}()
	if err := c.accept(ctx, from, a); err != nil {
		return &refusedAnswer{err, a}
	}
	return nil
}

func (t *transport) request(ctx context.Context, base string, c call, body []byte) (*http.Request, error) {
	var content io.Reader
	if c.body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, c.method, base+c.path, content)
	if err != nil {
		return nil, err
	}
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", t.agent)
	if key := t.keyOf(c); key != "" {
		req.Header.Set("Authorization", "License "+key)
	}
	return req, nil
}

func (t *transport) send(ctx context.Context, base string, c call, body []byte) (answer, error) {
	req, err := t.request(ctx, base, c, body)
	if err != nil {
		return answer{}, err
	}
	res, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		if IsUntrusted(err) {
			err = &untrusted{err}
		}
		return answer{}, err
	}
	defer res.Body.Close()
	_, key, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	a := answer{status: res.StatusCode, header: res.Header, key: key}
	a.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if len(a.body) > maxAnswer {
		return answer{status: a.status}, errors.New("the answer is longer than 1 MiB")
	}
	return a, err
}

// A refusedAnswer reports an answer that proves nothing.
type refusedAnswer struct {
	why    error
	answer answer
}

func (r *refusedAnswer) Unwrap() error { return r.why }

func (r *refusedAnswer) Error() string {
	if detail, refused := r.answer.keyRefused(); refused {
		return "it does not accept the license key: " + detail + " (status 401, unsigned)"
	}
	if detail, invalid := r.answer.invalid(); invalid {
		return fmt.Sprintf("it refuses the request: %s (status %d, unsigned)", detail, r.answer.status)
	}
	return r.why.Error() + r.answer.problem()
}

// A problem is an RFC 9457 body. It is unsigned and meant for people.
type problem struct{ Title, Detail, Code string }

// keyRefused reports whether a server of ours states that it does not know the key, with its words.
func (a answer) keyRefused() (detail string, refused bool) {
	return a.says("unauthenticated", http.StatusUnauthorized)
}

// invalid reports whether a server of ours states that the request is invalid, with its words.
func (a answer) invalid() (detail string, invalid bool) {
	return a.says("invalid", http.StatusBadRequest, http.StatusUnprocessableEntity)
}

// says reports whether a is a problem with the given code and one of the given statuses, as our
// servers send it, and returns its words.
func (a answer) says(code string, statuses ...int) (detail string, says bool) {
	var p problem
	if !slices.Contains(statuses, a.status) || json.Unmarshal(a.body, &p) != nil || p.Code != code {
		return "", false
	}
	return fmt.Sprintf("%.200q", cmp.Or(p.Detail, p.Title)), true
}

// problem returns the title in an RFC 9457 body, or only the status.
func (a answer) problem() string {
	var p problem
	if json.Unmarshal(a.body, &p) == nil && p.Title+p.Detail != "" {
		return fmt.Sprintf(" (status %d, unsigned: %.200q)", a.status, strings.TrimSpace(p.Title+" "+p.Detail))
	}
	return fmt.Sprintf(" (status %d)", a.status)
}

// sleep waits for d. It returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An unreachable error reports what each endpoint did instead of answering.
type unreachable struct {
	reasons      []string
	retry        time.Duration // an earlier attempt is useless; 0 if not known
	unauthorized bool          // an endpoint answered 401
	keyRefused   bool          // and that endpoint is one of ours
	invalid      bool          // an endpoint of ours states that the request is invalid
	untrusted    bool          // an endpoint's certificate is from an unknown authority
}

// Is lets errors.Is find errors in the configuration.
func (u *unreachable) Is(target error) bool {
	return target == ErrKeyRefused && u.keyRefused || target == ErrUntrusted && u.untrusted
}

// judge records an error in the configuration, as opposed to a fault of a server.
func (u *unreachable) judge(err error) {
	var strange *untrusted
	u.untrusted = u.untrusted || errors.As(err, &strange)
	var r *refusedAnswer
	if errors.As(err, &r) {
		_, ours := r.answer.keyRefused()
		u.unauthorized = u.unauthorized || r.answer.status == http.StatusUnauthorized
		u.keyRefused = u.keyRefused || ours
		_, invalid := r.answer.invalid()
		u.invalid = u.invalid || invalid
	}
}

func (u *unreachable) add(e *endpoint, err error) {
	if reason := e.url + ": " + err.Error(); !slices.Contains(u.reasons, reason) {
		u.reasons = append(u.reasons, reason)
	}
}

func (u *unreachable) Error() string {
	if len(u.reasons) == 0 {
		return "no endpoint may be asked yet"
	}
	if u.keyRefused {
		return "the license key was refused: " + strings.Join(u.reasons, "; ")
	}
	if u.invalid {
		return "the request was refused: " + strings.Join(u.reasons, "; ")
	}
	if u.untrusted {
		return "a server's certificate is not trusted: " + strings.Join(u.reasons, "; ")
	}
	return "no server answered: " + strings.Join(u.reasons, "; ")
}
