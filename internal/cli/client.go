package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// Bounds of what is read of one answer, in bytes.
const (
	maxAnswer  = 16 << 20
	maxProblem = 1 << 20
)

// A credential is how a request says who asks.
type credential int

const (
	anonymous credential = iota
	byToken              // a person or a system: Authorization: Bearer
	byKey                // a licensed program: Authorization: License
)

// Codes of problems that say to try again.
const (
	codeUnavailable = "unavailable"
	codeUnknown     = "outcome_unknown"
)

// codeUntrusted is of a server whose certificate nobody vouches for. It is this program's
// word: nothing was sent, and nothing will be before the settings change.
const codeUntrusted = "untrusted"

// A client speaks to the servers of one deployment. It is safe for concurrent use.
type client struct {
	http     *http.Client
	settings settings
	timeout  time.Duration  // of one request at one server; 0 is none
	command  *cobra.Command // that asks, for the names that people type; may be nil
}

func newClient(h *http.Client, s settings, timeout time.Duration) *client {
	plain := *h
	// A redirect is somebody else's answer, and a secret must not follow it.
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{http: &plain, settings: s, timeout: timeout}
}

// client connects to the servers that the settings name; the credential that the
// command needs has to be there.
func (c *cli) client(as credential) (*client, error) {
	s, err := c.settings(as)
	if err != nil {
		return nil, err
	}
	if as == byToken && s.token.value == "" {
		return nil, exitf(exitUsage, "no token: name its file with --token-file or COPYHOLD_TOKEN_FILE")
	}
	if as == byKey && s.key.value == "" {
		return nil, exitf(exitUsage, "no license key: name its file with --key-file or COPYHOLD_LICENSE_KEY_FILE")
	}
	if as == byToken && !strings.HasPrefix(string(s.token.value), tokenBegins) {
		return nil, exitf(exitUsage, "%s holds no token: it begins with %s", s.token.source, tokenBegins)
	}
	if as == byKey && strings.HasPrefix(string(s.key.value), tokenBegins) {
		return nil, exitf(exitUsage, "%s holds a token, not a license key", s.key.source)
	}
	if as == byKey {
		if _, err := license.NormalKey(string(s.key.value)); err != nil {
			_, why, _ := strings.Cut(err.Error(), "license key: ")
			return nil, exitf(exitUsage, "%s holds a mistyped license key: %s", s.key.source, why)
		}
	}
	if err := s.sendable(); err != nil {
		return nil, err
	}
	h, err := s.trusting(c.http)
	if err != nil {
		return nil, err
	}
	asking := newClient(h, s, c.flags.timeout)
	asking.command = c.command
	return asking, nil
}

// sendable refuses what no server could read.
func (s settings) sendable() error {
	for _, sent := range []struct{ source, value, what string }{
		{s.key.source, string(s.key.value), "a license key"}, {s.token.source, string(s.token.value), "a token"},
		{s.environment.source, s.environment.value, "the name of an environment"},
	} {
		if !utf8.ValidString(sent.value) || strings.ContainsFunc(sent.value, unicode.IsControl) {
			return exitf(exitUsage, "%s: %s is one line of text", sent.source, sent.what)
		}
	}
	return nil
}

// A problem is an RFC 9457 answer, or what stands for one when no server of
// ours answered. Only a problem with a decision speaks for a license.
type problem struct {
	Status   int               `json:"status,omitempty"`
	Code     string            `json:"code,omitempty"`
	Title    string            `json:"title,omitempty"`
	Detail   string            `json:"detail"`
	Field    string            `json:"field,omitempty"`
	Decision *license.Decision `json:"decision,omitempty"`
	Reply    string            `json:"reply,omitempty"`

	wrong bool   // the request or its address can't be right: sending it again gains nothing
	typed string // what people type for the field, "" if there is no such thing
}

func (p *problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.typed != "" {
		text = named(text, p.Field, p.typed)
	}
	switch {
	case p.Decision != nil:
		return "denied: " + denialText(*p.Decision)
	case p.Code == "":
		return text
	}
	return fmt.Sprintf("%s (%s)", text, p.Code)
}

// asProblem returns the problem in err's chain.
func asProblem(err error) (*problem, bool) {
	var p *problem
	return p, errors.As(err, &p)
}

// exitStatus keeps "try again" apart from "no".
func (p *problem) exitStatus() int {
	switch {
	case p.Decision != nil && p.Decision.Outcome == license.Denied:
		return exitDenied
	case p.wrong:
		return exitUsage
	case p.Code == codeUnavailable, p.Code == codeUnknown, p.Code == "rate_limited", p.Status >= 500:
		return exitUnavailable
	}
	return exitFailed
}

// An answer is a successful response: its status and its JSON, unchanged.
type answer struct {
	status int
	body   json.RawMessage
}

func (a answer) decode(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	return nil
}

// A call is one request. Query and body may be nil.
type call struct {
	as           credential
	method, path string
	query        url.Values
	body         any
	hold         time.Duration // that the server may hold it before it answers
	nonce        string        // if set, only a refusal that is signed for it counts
}

// tokenBegins is how every token begins, and no license key.
const tokenBegins = "cht_"

// maxAttempts bounds how often a write is sent whose outcome stays unknown.
const maxAttempts = 3

// do sends one request, to the next server where one is unavailable. A refusal is a
// *problem; a failure to get an answer is a *problem with the code unavailable. A
// write by an administrator carries an Idempotency-Key, so that it may be sent again;
// a program's carries an id of its own.
func (c *client) do(ctx context.Context, r call) (answer, error) {
	if err := checkSent(r); err != nil {
		return answer{}, err
	}
	key := idempotencyKey(r)
	for attempt := 1; ; attempt++ {
		a, err := anywhere(ctx, c.settings.endpoints, func(base string) (answer, error) { return c.send(ctx, base, r, key) })
		var p *problem
		if key == "" || attempt == maxAttempts || !errors.As(err, &p) || p.Code != codeUnknown {
			return a, err
		}
	}
}

func idempotencyKey(r call) string {
	if r.as == byToken && r.method != http.MethodGet {
		return rand.Text()
	}
	return ""
}

// send asks one server and reads its answer.
func (c *client) send(ctx context.Context, base string, r call, idempotency string) (answer, error) {
	within, cancel := c.within(ctx, r)
	defer cancel()
	resp, err := c.exchange(within, base, r, idempotency)
	if err != nil {
		return answer{}, c.believe(ctx, base, c.gaveUp(ctx, err), r.nonce)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, c.gaveUp(ctx, &problem{Code: codeUnavailable, Detail: fmt.Sprintf("reading the answer: %v", err)})
	}
	if r.as == byKey && len(body) > 0 && !json.Valid(body) {
		return answer{}, stranger(resp)
	}
	return answer{status: resp.StatusCode, body: body}, nil
}

// within bounds how long one server may take.
func (c *client) within(ctx context.Context, r call) (context.Context, context.CancelFunc) {
	limit := c.timeout
	if r.as == byKey && len(c.settings.endpoints.urls) > 1 {
		limit = min(limit, elsewhereAfter)
	}
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit+r.hold)
}

// gaveUp is err, unless it came of the caller's own end.
func (c *client) gaveUp(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return err
}

// stream sends one request and returns the answer's body as it comes. Only the
// context bounds how long that takes.
func (c *client) stream(ctx context.Context, r call) (io.ReadCloser, error) {
	resp, err := anywhere(ctx, c.settings.endpoints, func(base string) (*http.Response, error) {
		return c.exchange(ctx, base, r, "")
	})
	if err != nil {
		return nil, c.gaveUp(ctx, err)
	}
	return resp.Body, nil
}

// exchange sends one request to one server and returns a successful response.
func (c *client) exchange(ctx context.Context, base string, r call, idempotency string) (*http.Response, error) {
	req, err := c.request(ctx, base, r, idempotency)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if copyhold.IsUntrusted(err) {
		return nil, &problem{Code: codeUntrusted, wrong: true, Detail: err.Error() + untrustedAdvice}
	}
	if err != nil {
		return nil, unreached(base, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil, &problem{Code: codeUnavailable, Detail: fmt.Sprintf("reading the answer: %v", err)}
	}
	return nil, c.refused(base, r, resp, body)
}

func (c *client) request(ctx context.Context, base string, r call, idempotency string) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	switch r.as {
	case byToken:
		req.Header.Set("Authorization", "Bearer "+string(c.settings.token.value))
	case byKey:
		req.Header.Set("Authorization", "License "+string(c.settings.key.value))
	}
	if env := c.environment(r.as); env != "" {
		req.Header.Set("Copyhold-Environment", env)
	}
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// environment is the one a request names. A token for all environments means
// production unless another is asked for.
func (c *client) environment(as credential) string {
	env := c.settings.environment.value
	if env == "" && as == byToken && strings.HasPrefix(string(c.settings.token.value), "cht_all_") {
		return "production"
	}
	return env
}

// refused reads a problem. What is not one came from something in between and
// says nothing about a license.
func (c *client) refused(base string, r call, resp *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	p := &problem{}
	if kind != "application/problem+json" || json.Unmarshal(body, p) != nil || p.Code == "" {
		return cmp.Or(misdirected(base, resp, body), stranger(resp))
	}
	p.Status = resp.StatusCode
	p.wrong = p.Status == http.StatusMisdirectedRequest || r.as == byKey && p.Code == "invalid"
	p.typed = c.typed(p.Field)
	return p
}

// typed returns what people type for a field of a request, or "".
func (c *client) typed(field string) string {
	switch {
	case field == "Copyhold-Environment":
		return c.settings.environment.source
	case field == "" || c.command == nil:
		return ""
	}
	return typed(c.command, field)
}

// stranger is an answer that no server of ours gave.
func stranger(resp *http.Response) *problem {
	return &problem{
		Status: resp.StatusCode, Code: codeUnavailable,
		Detail: "something that is not Copyhold answered " + strconv.Quote(resp.Status),
	}
}

// page is one part of a list.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next,omitempty"`
}

// list follows cursors until limit items are there; limit 0 reads all. Next is
// not empty if there are more.
func (c *client) list(ctx context.Context, r call, limit int) (page, error) {
	all := page{Items: []json.RawMessage{}}
	query := url.Values{}
	for name, values := range r.query {
		query[name] = values
	}
	for {
		size := 100
		if limit > 0 {
			size = min(size, limit-len(all.Items))
		}
		query.Set("limit", strconv.Itoa(size))
		r.query = query
		a, err := c.do(ctx, r)
		if err != nil {
			return all, err
		}
		var p page
		if err := a.decode(&p); err != nil {
			return all, err
		}
		all.Items = append(all.Items, p.Items...)
		all.Next = p.Next
		if p.Next == "" || (limit > 0 && len(all.Items) >= limit) {
			return all, nil
		}
		query.Set("cursor", p.Next)
	}
}
