package api_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// listen opens a stream of changes and returns the names of its events; the
// channel is closed with the stream.
func (d *deployment) listen(ctx context.Context) <-chan string {
	d.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", d.url+"/v1/license/stream", nil)
	d.check(err)
	req.Header.Set("Authorization", "License "+d.key)
	answer, err := d.client.Do(req)
	d.check(err)
	if answer.StatusCode != http.StatusOK {
		d.t.Fatalf("status %d", answer.StatusCode)
	}
	heard := make(chan string, 16)
	go func() {
		defer close(heard)
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				heard <- name
			}
		}
	}()
	return heard
}

// patience is how long a test waits for what has to happen; the machine may be busy.
const patience = 5 * time.Minute

// next returns the next event except pings, which are sent every 20 seconds.
func next(t *testing.T, heard <-chan string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, open := <-heard:
			if !open {
				t.Fatal("the stream has ended")
			}
			if e != "ping" {
				return e
			}
		case <-limit:
			t.Fatalf("nothing was heard for %v", patience)
		}
	}
}
