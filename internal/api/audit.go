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

// EntryPath names an entry of the log.
type EntryPath struct {
	Index int64 `path:"index" minimum:"0"`
}

// EntryQuery chooses entries of the log.
type EntryQuery struct {
	ListQuery
	Type     string               `query:"type" maxLength:"64" doc:"Only of this type; of all types that begin with it if it ends with a dot"`
	License  licensing.LicenseID  `query:"license" maxLength:"64" doc:"Only about this license"`
	Customer licensing.CustomerID `query:"customer" maxLength:"64" doc:"Only about this customer"`
	Since    time.Time            `query:"since" doc:"Not older than this"`
	Until    time.Time            `query:"until" doc:"Older than this"`
}

// ConsistencyQuery names two sizes of the log.
type ConsistencyQuery struct {
	From int64 `query:"from" minimum:"0" required:"true" doc:"Entries of the older head"`
	To   int64 `query:"to" minimum:"0" doc:"Entries of the newer head; the published one if absent"`
}

func (s *server) auditRoutes() {
	const tag, path = "audit", "/v1/audit"
	handle(s, route{ID: "list-log-entries", Method: http.MethodGet, Path: path, Tag: tag, Permission: access.AuditRead,
		Summary: "List entries of the log, the newest first", Description: "A page can be short and still have a next one."},
		func(ctx context.Context, p access.Principal, in *EntryQuery) (*reply[v1.List[v1.LogEntry]], error) {
			f := ledger.LogFilter{Type: in.Type, License: in.License, Customer: in.Customer, Since: in.Since, Until: in.Until}
			return listed(s.Authority.LogEntries(ctx, p, f, in.page()))
		})
	handle(s, route{ID: "get-log-head", Method: http.MethodGet, Path: path + "/head", Tag: tag, Permission: access.AuditRead,
		Summary: "The log's signed head; keep one elsewhere now and then"},
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
		Summary: "Show an entry whole"},
		func(ctx context.Context, p access.Principal, in *EntryPath) (*reply[v1.LogEntry], error) {
			return answered(s.Authority.LogEntry(ctx, p, in.Index))
		})
	handle(s, route{ID: "prove-log-entry", Method: http.MethodGet, Path: path + "/{index}/proof", Tag: tag, Permission: access.AuditRead,
		Summary: "Prove that the log holds an entry"},
		func(ctx context.Context, p access.Principal, in *EntryPath) (*reply[v1.LogProof], error) {
			return answered(s.Authority.ProveLogEntry(ctx, p, in.Index))
		})
	handle(s, route{ID: "erase-log-payload", Method: http.MethodDelete, Path: path + "/{index}/payload", Tag: tag, Permission: access.AuditErase,
		Summary: "Erase actor, subject, request and data of an entry, and record that", Description: "The entry and its proofs stay."},
		func(ctx context.Context, p access.Principal, in *struct {
			EntryPath
			Reason string `query:"reason" required:"true" minLength:"1" maxLength:"400" doc:"Why; it is recorded"`
		}) (*nothing, error) {
			return done(s.Authority.EraseLogPayload(ctx, p, in.Index, in.Reason))
		})
	s.logFollowerRoutes()
	s.logRoute()
	s.reconcileRoute()
}

// reconcileRoute compares rows with the log, which takes as long as reading all of both.
func (s *server) reconcileRoute() {
	r := route{
		ID: "reconcile-log", Method: http.MethodGet, Path: "/v1/audit/reconciliation", Tag: "audit", Permission: access.AuditRead, Held: true,
		Summary:     "Compare leases and licenses with the log, and counters with their rows",
		Description: "Of one moment: each live lease has an entry that begins it and none that ends it, each such entry has its lease, and each license is as its last change left it. The counters of each pool are what its leases and tickets come to, and each total of a meter is the sum of its usage events. Renewals are not logged, so dates of leases are not compared. It can take minutes for a large log.",
	}
	s.declare(r)
	op := s.operation(r)
	schema := s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[audit.Reconciliation](), true, "Reconciliation")
	op.Responses["200"] = &huma.Response{Description: "What was compared, and what does not agree", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
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

// logRoute registers the whole log as a stream of lines.
func (s *server) logRoute() {
	r := route{
		ID: "export-log", Method: http.MethodGet, Path: "/v1/audit/rows", Tag: "audit", Permission: access.AuditRead, Held: true,
		Summary:     "The whole log, to be verified elsewhere",
		Description: "Lines of JSON: the signed head, the tree's hashes, the rows. A connection that is cut before the end says that the log is not whole.",
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
