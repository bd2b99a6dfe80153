package api_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/authority/ledger"
	"copyhold.dev/internal/metrics"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store/storetest"
)

func TestTheDocumentIsValidAndAnswersFollowIt(t *testing.T) {
	a := authority.New(ledger.Config{DB: storetest.SQLite(t), Ring: signing.NewRing(nil)})
	t.Cleanup(a.Close)
	h, err := api.New(api.Config{Authority: a, Metrics: metrics.New(time.Now), Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()
	client := holdToSpecification(t, server.URL)
	for _, path := range []string{"/healthz", "/metrics", "/openapi.json", "/nowhere"} {
		answer, err := client.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		if path == "/openapi.json" {
			for _, banned := range []string{"$schema", "ErrorModel", "http://localhost"} {
				if strings.Contains(string(body), banned) {
					t.Errorf("the document names %s", banned)
				}
			}
		}
		if path == "/metrics" && answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("/metrics answers %d to anyone", answer.StatusCode)
		}
	}
}
