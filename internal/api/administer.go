package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/authority/request"
	v1 "copyhold.dev/internal/v1"
)

// ListQuery contains the parameters of every list. It is exported, like everything that
// inputs embed, because huma reads no other fields.
type ListQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"The maximum number of items"`
	Cursor string `query:"cursor" maxLength:"400" doc:"The member next of the previous page"`
}

func (q ListQuery) page() request.PageOf { return request.PageOf{Limit: q.Limit, Cursor: q.Cursor} }

// reply is an answer with a body.
type reply[T any] struct{ Body T }

// nothing is an answer without a body.
type nothing struct{}

// answered turns a result of authority into a reply.
func answered[T any](body T, err error) (*reply[T], error) {
	if err != nil {
		return nil, err
	}
	return &reply[T]{body}, nil
}

// listed turns a page into a reply. An empty list is not written as null.
func listed[T any](page request.Page[T], err error) (*reply[v1.List[T]], error) {
	if page.Items == nil {
		page.Items = []T{}
	}
	return answered(v1.List[T]{Items: page.Items, Next: page.Next}, err)
}

// done turns an error or nil into an answer without a body.
func done(err error) (*nothing, error) {
	if err != nil {
		return nil, err
	}
	return &nothing{}, nil
}

// Repeatable contains the header of every write that creates or changes something.
type Repeatable struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"Repeating a request with the same key within 24 hours returns the same answer and changes nothing"`
}

func (r *Repeatable) idempotencyKey() string { return r.Key }

// write is handle for a route that can be repeated. The principal identifies the request.
func write[I any, PI interface {
	*I
	idempotencyKey() string
}, O any](s *server, r route, fn func(ctx context.Context, p access.Principal, in *I) (*O, error)) {
	handle(s, r, func(ctx context.Context, p access.Principal, in *I) (*O, error) {
		p.Once = access.Once{Route: r.ID, Key: PI(in).idempotencyKey()}
		return fn(ctx, p, in)
	})
}

// pair represents license.Seq in the OpenAPI document.
type pair struct{}

// Schema implements huma.SchemaProvider.
func (pair) Schema(huma.Registry) *huma.Schema {
	two := 2
	return &huma.Schema{Type: huma.TypeArray, Description: "epoch and counter", MinItems: &two, MaxItems: &two,
		Items: &huma.Schema{Type: huma.TypeInteger, Format: "int64"}}
}
