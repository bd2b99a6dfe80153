package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/audit"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/licensing"
	v1 "copyhold.dev/internal/v1"
)

// EntryPath identifies an entry of the log.
type EntryPath struct {
	Index int64 `path:"index" minimum:"0"`
}

// EntryQuery selects entries of the log.
type EntryQuery struct {
	ListQuery
	Type     string               `query:"type" maxLength:"64" doc:"Only entries of this type, or of all types that begin with it if it ends with a dot"`
	License  licensing.LicenseID  `query:"license" maxLength:"64" doc:"Only entries about this license"`
	Customer licensing.CustomerID `query:"customer" maxLength:"64" doc:"Only entries about this customer"`
	Since    time.Time            `query:"since" doc:"Only entries from this time on"`
	Until    time.Time            `query:"until" doc:"Only entries before this time"`
}

// ConsistencyQuery gives two sizes of the log.
type ConsistencyQuery struct {
	From int64 `query:"from" minimum:"0" required:"true" doc:"The size of the older head, in entries"`
	To   int64 `query:"to" minimum:"0" doc:"The size of the newer head, in entries. Default: the published head"`
}

func (s *server) auditRoutes() {
	const tag, path = "audit", "/v1/audit"
	handle(s, route{ID: "list-log-entries", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.AuditRead,
		Summary: "List entries of the log, newest first", Description: "A page can be short and still have a next page. It can be empty and have one only while the index is built, after an upgrade."},
		func(ctx context.Context, p access.Principal, in *EntryQuery) (*reply[v1.List[v1.LogEntry]], error) {
			f := ledger.LogFilter{Type: in.Type, License: in.License, Customer: in.Customer, Since: in.Since, Until: in.Until}
			return listed(s.Authority.LogEntries(ctx, p, f, in.page()))
		})
	handle(s, route{ID: "get-log-head", Method: http.MethodGet, Path: path + "/head", Tag: tag, Permission: access.AuditRead,
		Summary: "Show the log's signed head; keep a copy elsewhere from time to time"},
		func(ctx context.Context, p access.Principal, _ *struct{}) (*reply[v1.LogHead], error) {
			return answered(s.Authority.LogHead(ctx, p))
		})
	handle(s, route{ID: "prove-log-consistency", Method: http.MethodGet, Path: path + "/consistency", Tag: tag, Permission: access.AuditRead,
		Summary: "Prove that the log only grew from one size to another"},
		func(ctx context.Context, p access.Principal, in *ConsistencyQuery) (*reply[v1.ConsistencyAnswer], error) {
			proof, err := s.Authority.ProveLogConsistency(ctx, p, in.From, in.To)
			return answered(v1.ConsistencyAnswer{Consistency: proof, Text: proof.Text()}, err)
		})
	handle(s, route{ID: "get-log-entry", Method: http.MethodGet, Path: path + "/{index}", Tag: tag, Permission: access.AuditRead,
		Summary: "Show a complete entry"},
		func(ctx context.Context, p access.Principal, in *EntryPath) (*reply[v1.LogEntry], error) {
			return answered(s.Authority.LogEntry(ctx, p, in.Index))
		})
	handle(s, route{ID: "prove-log-entry", Method: http.MethodGet, Path: path + "/{index}/proof", Tag: tag, Permission: access.AuditRead,
		Summary: "Prove that the log contains an entry"},
		func(ctx context.Context, p access.Principal, in *EntryPath) (*reply[v1.LogProof], error) {
			return answered(s.Authority.ProveLogEntry(ctx, p, in.Index))
		})
	handle(s, route{ID: "erase-log-payload", Method: http.MethodDelete, Path: path + "/{index}/payload", Tag: tag, Permission: access.AuditErase,
		Summary: "Erase actor, subject, request and data of an entry, and record the erasure", Description: "The entry and its proofs remain."},
		func(ctx context.Context, p access.Principal, in *struct {
			EntryPath
			Reason string `query:"reason" required:"true" minLength:"1" maxLength:"400" doc:"The reason, which is recorded"`
		}) (*nothing, error) {
			return done(s.Authority.EraseLogPayload(ctx, p, in.Index, in.Reason))
		})
	s.logFollowerRoutes()
	s.logRoute()
	s.reconcileRoute()
}

// reconcileRoute compares rows with the log, which takes as long as reading both.
func (s *server) reconcileRoute() {
	r := route{
		ID: "reconcile-log", Method: http.MethodGet, Path: "/v1/audit/reconciliation", Tag: "audit", Permission: access.AuditRead, Held: true,
		Summary:     "Compare leases and licenses with the log, and counters with their rows",
		Description: "Compares one moment. Each live lease must have an entry that begins it and none that ends it, each such entry must have its lease, and each license must match its last change. The counters of each pool must be the sums of its leases and tickets, and each total of a meter the sum of its usage events. Renewals are not logged, so the dates of leases are not compared. This can take minutes for a large log.",
	}
	s.declare(r)
	op := s.operation(r)
	schema := s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[audit.Reconciliation](), true, "Reconciliation")
	op.Responses["200"] = &huma.Response{Description: "The number of things compared, and the mismatches", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	s.huma.OpenAPI().AddOperation(&op)
	s.mux.Handle(r.pattern(), s.guard(s.declared[r.pattern()], func(w http.ResponseWriter, req *http.Request) {
		s.pour(w, req, "application/json", func(c *call) error {
			result, err := s.Authority.ReconcileLog(req.Context(), c.principal)
			if err != nil {
				return err
			}
			return json.NewEncoder(c).Encode(result)
		})
	}))
}

// logRoute registers the complete log as a stream of lines.
func (s *server) logRoute() {
	r := route{
		ID: "export-log", Method: http.MethodGet, Path: "/v1/audit/rows", Tag: "audit", Permission: access.AuditRead, Held: true,
		Summary:     "Export the complete log, for verification elsewhere",
		Description: "Lines of JSON: the signed head, the tree's hashes, the rows. A connection that is cut before the end means that the log is incomplete.",
	}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = &huma.Response{Description: "The log", Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
	s.huma.OpenAPI().AddOperation(&op)
	s.mux.Handle(r.pattern(), s.guard(s.declared[r.pattern()], func(w http.ResponseWriter, req *http.Request) {
		s.pour(w, req, "application/octet-stream", func(c *call) error {
			return s.Authority.ExportLog(req.Context(), c.principal, c)
		})
	}))
}
