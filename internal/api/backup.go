package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
	"copyhold.dev/internal/licensing"
)

// backupRoutes registers the backup of a running server.
func (s *server) backupRoutes() {
	r := route{
		ID: "backup", Method: http.MethodPost, Path: "/v1/backup", Tag: "server", Permission: access.BackupTake, Held: true, Closed: true,
		Summary: "Back up everything at one moment",
		Description: "Returns an archive that is encrypted to the server's sealing key. `copyhold restore` reads it. " +
			"Requires a token that spans environments. A connection that is cut before the end means that the archive is incomplete.\n\n" +
			"With `final=true`, all writes end first, permanently. Programs get 503 from then on, and the server that is restored " +
			"from the archive takes over without a fence. Repeat the request if the archive is incomplete.",
	}
	s.declare(r)
	op := s.operation(r)
	op.Parameters = append(op.Parameters, &huma.Param{Name: finalParam, In: "query", Description: "Whether to close the database before it is read",
		Schema: &huma.Schema{Type: huma.TypeBoolean}})
	op.Responses["200"] = &huma.Response{Description: "The archive", Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
	s.huma.OpenAPI().AddOperation(&op)
	s.mux.Handle(r.pattern(), s.guard(s.declared[r.pattern()], s.backup))
}

func (s *server) backup(w http.ResponseWriter, req *http.Request) {
	backup := s.Authority.Backup
	switch req.URL.Query().Get(finalParam) {
	case "", "false":
	case "true":
		backup = s.Authority.FinalBackup
	default:
		p := newProblem(callOf(req.Context()), http.StatusUnprocessableEntity, licensing.Invalid, "final must be true or false")
		p.Field = finalParam
		s.fail(callOf(req.Context()), p)
		return
	}
	s.pour(w, req, "application/octet-stream", func(c *call) error {
		_, err := backup(req.Context(), c.principal, c)
		return err
	})
}

// finalParam requests the last backup of a database.
const finalParam = "final"

// pour answers with the output of fn, however long that takes.
func (s *server) pour(w http.ResponseWriter, req *http.Request, mediaType string, fn func(*call) error) {
	c := callOf(req.Context())
	// A large database takes longer than the write timeout.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		s.fail(c, s.problem(c, err))
		return
	}
	c.Header().Set("Content-Type", mediaType)
	err := fn(c)
	if err == nil {
		return
	}
	if c.status == 0 {
		s.fail(c, s.problem(c, err))
		return
	}
	c.err = err
	panic(http.ErrAbortHandler) //nolint:forbidigo // half an answer must not look complete
}
