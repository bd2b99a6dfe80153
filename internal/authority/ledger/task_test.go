package ledger

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAFailingTaskDoesNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	a := &Ledger{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }}
	for range 3 * 60 { // three minutes, once a second
		a.Task("witness", errors.New("no space left"))
		now = now.Add(time.Second)
	}
	if n := strings.Count(log.String(), "no space left"); n != 3 {
		t.Errorf("three minutes of failures are %d lines:\n%s", n, &log)
	}
	log.Reset()
	a.Task("witness", nil)
	a.Task("witness", nil)
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "works again") || !strings.Contains(text, "times=180") {
		t.Errorf("its recovery is logged as %q", text)
	}
	log.Reset()
	a.Task("witness", errors.New("no space left"))
	if !strings.Contains(log.String(), "no space left") {
		t.Error("a new failure is not logged")
	}
}
