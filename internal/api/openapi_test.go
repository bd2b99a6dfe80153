package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"copyhold.dev/sdk/license"
)

// A held transport checks every answer against the OpenAPI document of its server
// and fails the test if they differ.
type held struct {
	t      testing.TB
	router routers.Router
	next   http.RoundTripper
}

// holdToSpecification returns a client whose every answer is checked against
// the document at url/openapi.json.
func holdToSpecification(t testing.TB, url string) *http.Client {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("the OpenAPI document is not valid: %v", err)
	}
	doc.Servers = openapi3.Servers{{URL: url}}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	next := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(next.CloseIdleConnections)
	return &http.Client{Transport: &held{t, router, next}}
}

// exact reports numbers that some language cannot represent exactly.
func (h *held) exact(req *http.Request, body []byte) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return
		}
		if n, ok := token.(json.Number); ok {
			if f, err := n.Float64(); err != nil || math.Abs(f) > license.MaxInt {
				h.t.Errorf("%s %s: the answer has the number %s", req.Method, req.URL.Path, n)
			}
		}
	}
}

// RoundTrip implements http.RoundTripper.
func (h *held) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := h.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	kind := answer.Header.Get("Content-Type")
	if strings.HasPrefix(kind, "text/event-stream") {
		return answer, nil // has no end to check
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if strings.Contains(kind, "json") {
		h.exact(req, body)
	}
	route, parameters, err := h.router.FindRoute(req)
	if err != nil {
		if answer.StatusCode != http.StatusNotFound && answer.StatusCode != http.StatusMethodNotAllowed {
			h.t.Errorf("%s %s: %d of a route that is not in the document", req.Method, req.URL.Path, answer.StatusCode)
		}
		return answer, nil
	}
	if err := openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: parameters, Route: route},
		Status:                 answer.StatusCode, Header: answer.Header,
		Body:    io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}); err != nil {
		h.t.Errorf("%s %s: the answer %d parts from the document: %v", req.Method, req.URL.Path, answer.StatusCode, err)
	}
	return answer, nil
}
