package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/licensing"
	"copyhold.dev/sdk/license"
)

// A parameter is a parameter of a program's route, in addition to the body.
type parameter struct {
	Name, In, Doc string
	Kind          string // string, integer or boolean
	Required      bool
}

// An answer is a possible answer of a program's route: a status and the body's type.
type answer struct {
	Status int
	Doc    string
	Body   any // a value of the type; nil for none
}

// serve registers fn for r without huma in the request path, because programs call
// these routes at every start and every few minutes, from everywhere. The body
// is decoded under the strict profile of signed documents. Unknown members are
// ignored, so that an older server can serve a newer program. The OpenAPI document
// describes parameters and answers, and tests check the answers of fn against it.
func serve[I any](s *server, r route, parameters []parameter, answers []answer, fn func(c *call, req *http.Request, in *I) error) {
	if r.Body == 0 {
		r.Body = programBody
	}
	s.declare(r)
	op := s.operation(r)
	s.describe(&op, reflect.TypeFor[I](), parameters, answers)
	s.huma.OpenAPI().AddOperation(&op)
	hasBody := op.RequestBody != nil
	s.mux.Handle(r.pattern(), s.guard(s.declared[r.pattern()], func(w http.ResponseWriter, req *http.Request) {
		c := callOf(req.Context())
		in := new(I)
		if hasBody {
			if p := s.decode(c, req, in); p != nil {
				s.fail(c, p)
				return
			}
		}
		if err := fn(c, req, in); err != nil {
			s.fail(c, s.problem(c, err))
		}
	}))
}

// none is the body of a route without one.
type none struct{}

func (s *server) describe(op *huma.Operation, body reflect.Type, parameters []parameter, answers []answer) {
	registry := s.huma.OpenAPI().Components.Schemas
	for _, p := range parameters {
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.Name, In: p.In, Description: p.Doc,
			Required: p.Required || p.In == "path", Schema: &huma.Schema{Type: p.Kind}})
	}
	if body != reflect.TypeFor[none]() {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: registry.Schema(body, true, body.Name())}}}
	}
	for _, a := range answers {
		response := &huma.Response{Description: a.Doc}
		if a.Body != nil {
			t := reflect.TypeOf(a.Body)
			response.Content = map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(t, true, t.Name())}}
		}
		op.Responses[strconv.Itoa(a.Status)] = response
	}
}

// buffers are reused between requests. Large ones are dropped.
type buffers struct{ sync.Pool }

func (b *buffers) get() *bytes.Buffer {
	if buf, ok := b.Get().(*bytes.Buffer); ok {
		buf.Reset()
		return buf
	}
	return bytes.NewBuffer(make([]byte, 0, 4096))
}

func (b *buffers) put(buf *bytes.Buffer) {
	if buf.Cap() <= 64<<10 {
		b.Put(buf)
	}
}

// decode reads the body of req into in.
func (s *server) decode(c *call, req *http.Request, in any) *Problem {
	buf := s.buffers.get()
	defer s.buffers.put(buf)
	if _, err := buf.ReadFrom(io.LimitReader(req.Body, c.route.Body+1)); err != nil {
		return newProblem(c, http.StatusBadRequest, licensing.Invalid, "the body ended early or arrived too slowly")
	}
	if int64(buf.Len()) > c.route.Body {
		return newProblem(c, http.StatusRequestEntityTooLarge, licensing.TooLarge, "the body is larger than this operation accepts")
	}
	err := license.Unmarshal(buf.Bytes(), in)
	if err != nil { // programs in some languages write 1.0; others pay nothing for this
		err = decodeAgain(buf.Bytes(), in, err)
	}
	if err != nil {
		return newProblem(c, http.StatusBadRequest, licensing.Invalid, "reading the body: "+strings.TrimPrefix(err.Error(), "license: "))
	}
	return nil
}

// decodeAgain decodes a body that the strict profile refused with refusal, in case the only
// fault is whole numbers written with a decimal point.
func decodeAgain(body []byte, in any, refusal error) error {
	whole, err := wholeNumbers(body)
	switch {
	case err != nil:
		return err
	case len(whole) == len(body): // there are no such numbers
		return refusal
	}
	reflect.ValueOf(in).Elem().SetZero()
	return license.Unmarshal(whole, in)
}

// writeJSON answers status with v as JSON.
func (s *server) writeJSON(c *call, status int, kind string, v any) {
	buf := s.buffers.get()
	defer s.buffers.put(buf)
	encoder := json.NewEncoder(buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		c.err = errors.Join(c.err, err)
		c.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.writeBytes(c, status, kind, buf.Bytes())
}

// writeBytes answers status with body.
func (s *server) writeBytes(c *call, status int, kind string, body []byte) {
	h := c.Header()
	h["Content-Type"] = []string{kind}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.WriteHeader(status)
	if _, err := c.Write(body); err != nil {
		c.err = errors.Join(c.err, err)
	}
}
