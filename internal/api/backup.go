package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"copyhold.dev/internal/access"
)

// backupRoutes registers the backup of a running server.
func (s *server) backupRoutes() {
	r := route{
		ID: "backup", Method: http.MethodPost, Path: "/v1/backup", Tag: "server", Permission: access.BackupTake, Held: true,
		Summary: "Everything, as it is at one moment",
		Description: "Answers an archive that is encrypted to the server's sealing key; `copyhold restore` reads it. " +
			"It needs a token that spans environments. A connection that is cut before the end says that the archive is not whole.",
	}
	s.declare(r)
	op := s.operation(r)
	op.Responses["200"] = &huma.Response{Description: "The archive", Content: map[string]*huma.MediaType{
		"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
	s.huma.OpenAPI().AddOperation(&op)
	s.mux.Handle(r.pattern(), s.guard(s.declared[r.pattern()], s.backup))
}

func (s *server) backup(w http.ResponseWriter, req *http.Request) {
	s.pour(w, req, "application/octet-stream", func(c *call) error {
		_, err := s.Authority.Backup(req.Context(), c.principal, c)
		return err
	})
}

// pour answers with what fn writes, however long that takes.
func (s *server) pour(w http.ResponseWriter, req *http.Request, mediaType string, fn func(*call) error) {
	c := callOf(req.Context())
	// A large database takes longer than an answer may.
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
	panic(http.ErrAbortHandler) //nolint:forbidigo // half of it must not look like all of it
}
