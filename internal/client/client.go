package client

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
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// Limits on the size of one answer, in bytes.
const (
	maxAnswer  = 16 << 20
	maxProblem = 1 << 20
)

// A Credential is the way in which a request identifies its sender.
type Credential int

// Credentials.
const (
	Anonymous Credential = iota
	ByToken              // a person or a system: Authorization: Bearer
	ByKey                // a licensed program: Authorization: License
)

// A client speaks to the servers of one deployment. It is safe for concurrent use.
type Client struct {
	http     *http.Client
	settings Settings
	timeout  time.Duration // of one request to one server; 0 means none

	// Named returns the flag or argument for a field of a request, or "" if there is none.
	// It may be nil. Set it before the first request.
	Named func(field string) string
}

// New returns a client for the servers in the settings. Timeout limits one request to one
// server; 0 means no limit.
func New(h *http.Client, s Settings, timeout time.Duration) *Client {
	plain := *h
	// A redirect is another server's answer; never send it a secret.
	plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &plain, settings: s, timeout: timeout}
}

// Connect returns a client for the servers in the settings. It returns an error if the secret
// for the credential is missing, or if a server could not read a value that is sent. Timeout
// limits one request to one server; 0 means no limit.
func Connect(h *http.Client, s Settings, as Credential, timeout time.Duration) (*Client, error) {
	if as == ByToken && s.Token.Value == "" {
		return nil, Errorf(Usage, "missing token: specify its file with --token-file or COPYHOLD_TOKEN_FILE")
	}
	if as == ByKey && s.Key.Value == "" {
		return nil, Errorf(Usage, "missing license key: specify its file with --key-file or COPYHOLD_LICENSE_KEY_FILE")
	}
	if as == ByToken && !strings.HasPrefix(string(s.Token.Value), tokenBegins) {
		return nil, Errorf(Usage, "%s does not contain a token: tokens begin with %s", s.Token.Source, tokenBegins)
	}
	if as == ByKey && strings.HasPrefix(string(s.Key.Value), tokenBegins) {
		return nil, Errorf(Usage, "%s contains a token, not a license key", s.Key.Source)
	}
	if as == ByKey {
		if _, err := license.NormalKey(string(s.Key.Value)); err != nil {
			why := strings.TrimPrefix(err.Error(), license.ErrLicenseKey.Error()+": ")
			return nil, Errorf(Usage, "%s contains a mistyped license key: %s", s.Key.Source, why)
		}
	}
	if err := s.sendable(); err != nil {
		return nil, err
	}
	h, err := s.trusting(h)
	if err != nil {
		return nil, err
	}
	return New(h, s, timeout), nil
}

// WithKey returns a client that is like c but has another license key. Both share their
// connections.
func (c *Client) WithKey(key Secret) *Client {
	other := *c
	other.settings.Key = Setting[Secret]{Value: key}
	return &other
}

// sendable refuses values that no server could read.
func (s Settings) sendable() error {
	for _, sent := range []struct{ source, value, what string }{
		{s.Key.Source, string(s.Key.Value), "a license key"}, {s.Token.Source, string(s.Token.Value), "a token"},
		{s.Environment.Source, s.Environment.Value, "an environment's name"},
	} {
		if !utf8.ValidString(sent.value) || strings.ContainsFunc(sent.value, unicode.IsControl) {
			return Errorf(Usage, "%s: %s must be one line of UTF-8 text", sent.source, sent.what)
		}
	}
	return nil
}

// An Answer is a successful response: its status, header and unchanged JSON.
type Answer struct {
	Status int
	Header http.Header
	Body   json.RawMessage
}

// Decode reads the answer into v.
func (a Answer) Decode(v any) error {
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	return nil
}

// A Call is one request. Query and body may be nil.
type Call struct {
	As           Credential
	Method, Path string
	Query        url.Values
	Body         any
	Hold         time.Duration // how long the server may hold the request before it answers
	Nonce        string        // if set, only a denial signed for this nonce counts
}

// tokenBegins is the prefix of every token, and of no license key.
const tokenBegins = "cht_"

// maxAttempts limits how often a write with an unknown outcome is sent.
const maxAttempts = 3

// Do sends one request, and tries the next server if one is unavailable. A refusal is a
// *Problem; a failure to get an answer is a *Problem with the code unavailable. A write by
// an administrator has an Idempotency-Key, so that it can be repeated; a write by a
// program has its own id.
func (c *Client) Do(ctx context.Context, r Call) (Answer, error) {
	if err := checkSent(r); err != nil {
		return Answer{}, err
	}
	key := idempotencyKey(r)
	for attempt := 1; ; attempt++ {
		a, err := anywhere(ctx, c.settings.Endpoints, func(base string) (Answer, error) { return c.send(ctx, base, r, key) })
		var p *Problem
		if key == "" || attempt == maxAttempts || !errors.As(err, &p) || p.Code != CodeUnknown {
			return a, err
		}
	}
}

func idempotencyKey(r Call) string {
	if r.As == ByToken && r.Method != http.MethodGet {
		return rand.Text()
	}
	return ""
}

// send sends one request to one server and reads its answer.
func (c *Client) send(ctx context.Context, base string, r Call, idempotency string) (Answer, error) {
	within, cancel := c.within(ctx, r)
	defer cancel()
	resp, err := c.exchange(within, base, r, idempotency)
	if err != nil {
		return Answer{}, c.believe(ctx, base, c.gaveUp(ctx, err), r.Nonce)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, c.gaveUp(ctx, &Problem{Code: CodeUnavailable, Detail: fmt.Sprintf("reading the answer: %v", err)})
	}
	if r.As == ByKey && len(body) > 0 && !json.Valid(body) {
		return Answer{}, stranger(resp)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// Ask sends one request to the server at base, once. It returns the same errors as Do.
func (c *Client) Ask(ctx context.Context, base string, r Call) (Answer, error) {
	return c.send(ctx, base, r, "")
}

// Servers returns the addresses of the deployment's servers, preferred first.
func (c *Client) Servers() []string { return slices.Clone(c.settings.Endpoints.urls) }

// within limits how long one server may take.
func (c *Client) within(ctx context.Context, r Call) (context.Context, context.CancelFunc) {
	limit := c.timeout
	if r.As == ByKey && len(c.settings.Endpoints.urls) > 1 {
		limit = min(limit, elsewhereAfter)
	}
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit+r.Hold)
}

// gaveUp returns err, or the context's error if the caller canceled the request.
func (c *Client) gaveUp(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return err
}

// Stream sends one request and returns the body of the answer while it arrives. Only the
// context limits how long that takes.
func (c *Client) Stream(ctx context.Context, r Call) (io.ReadCloser, error) {
	resp, err := anywhere(ctx, c.settings.Endpoints, func(base string) (*http.Response, error) {
		return c.exchange(ctx, base, r, "")
	})
	if err != nil {
		return nil, c.gaveUp(ctx, err)
	}
	return resp.Body, nil
}

// exchange sends one request to one server and returns a successful response.
func (c *Client) exchange(ctx context.Context, base string, r Call, idempotency string) (*http.Response, error) {
	req, err := c.request(ctx, base, r, idempotency)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if copyhold.IsUntrusted(err) {
		return nil, &Problem{Code: codeUntrusted, Wrong: true, Detail: err.Error() + untrustedAdvice}
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
		return nil, &Problem{Code: CodeUnavailable, Detail: fmt.Sprintf("reading the answer: %v", err)}
	}
	return nil, c.refused(base, r, resp, body)
}

func (c *Client) request(ctx context.Context, base string, r Call, idempotency string) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		text, err := json.Marshal(r.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := base + r.Path
	if len(r.Query) > 0 {
		target += "?" + r.Query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	switch r.As {
	case ByToken:
		req.Header.Set("Authorization", "Bearer "+string(c.settings.Token.Value))
	case ByKey:
		req.Header.Set("Authorization", "License "+string(c.settings.Key.Value))
	}
	if env := c.environment(r.As); env != "" {
		req.Header.Set("Copyhold-Environment", env)
	}
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// environment returns the environment to name in a request. A token for all environments
// means production unless the settings name another.
func (c *Client) environment(as Credential) string {
	env := c.settings.Environment.Value
	if env == "" && as == ByToken && strings.HasPrefix(string(c.settings.Token.Value), "cht_all_") {
		return "production"
	}
	return env
}

// refused reads a problem. An answer that is not a problem came from something in between
// and says nothing about a license.
func (c *Client) refused(base string, r Call, resp *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	p := &Problem{}
	if kind != "application/problem+json" || json.Unmarshal(body, p) != nil || p.Code == "" {
		return cmp.Or(misdirected(base, resp, body), stranger(resp))
	}
	p.Status = resp.StatusCode
	p.Wrong = p.Status == http.StatusMisdirectedRequest || r.As == ByKey && p.Code == "invalid"
	p.Typed = c.typedFor(p.Field)
	return p
}

// typedFor returns the flag or argument for a field of a request, or "".
func (c *Client) typedFor(field string) string {
	switch {
	case field == "Copyhold-Environment":
		return c.settings.Environment.Source
	case field == "" || c.Named == nil:
		return ""
	}
	return c.Named(field)
}

// stranger reports an answer that did not come from Copyhold.
func stranger(resp *http.Response) *Problem {
	return &Problem{
		Status: resp.StatusCode, Code: CodeUnavailable,
		Detail: "a server that is not Copyhold answered " + strconv.Quote(resp.Status),
	}
}

// A Page is one part of a list.
type Page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next,omitempty"`
}

// List follows cursors until it has limit items; limit 0 reads all. Next is not empty if
// there are more.
func (c *Client) List(ctx context.Context, r Call, limit int) (Page, error) {
	all := Page{Items: []json.RawMessage{}}
	query := url.Values{}
	for name, values := range r.Query {
		query[name] = values
	}
	for {
		size := 100
		if limit > 0 {
			size = min(size, limit-len(all.Items))
		}
		query.Set("limit", strconv.Itoa(size))
		r.Query = query
		a, err := c.Do(ctx, r)
		if err != nil {
			return all, err
		}
		var p Page
		if err := a.Decode(&p); err != nil {
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
