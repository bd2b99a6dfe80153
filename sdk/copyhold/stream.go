package copyhold

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const (
	streamPath   = "/v1/license/stream"
	streamQuiet  = 90 * time.Second // after this long without a byte, the stream counts as dead
	streamRetry  = 5 * time.Second  // full jitter, doubling
	streamMax    = 5 * time.Minute
	streamSpread = 3 * time.Second // the reactions of all clients to one change spread over this time
)

// A stream signals that something changed. The client then fetches the change and verifies it. It
// believes nothing in the stream itself. The client's lock guards the stream, except that only run
// calls listen.
type stream struct {
	retryAt   time.Duration // on the boot clock
	failures  int
	interrupt context.CancelFunc // stops listening; nil if there is no stream
	heard     time.Duration      // boot-clock time of the last byte
}

// rest waits until there is work to do, and listens for changes in the meantime.
func (c *Client) rest(ctx context.Context) {
	if c.mayListen() {
		c.listen(ctx)
		return
	}
	select {
	case <-c.wake:
	case <-ctx.Done():
	}
}

func (c *Client) mayListen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.net != nil && c.key.text != "" && c.license() != nil && c.sys.boot() >= c.stream.retryAt
}

func (c *Client) listen(ctx context.Context) {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.stream.interrupt, c.stream.heard = cancel, c.sys.boot()
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.stream.interrupt = nil
		c.mu.Unlock()
	}()
	select {
	case <-c.wake: // it was sent before interrupt was set
		return
	default:
	}
	err := c.follow(ctx, within)
	c.mu.Lock()
	defer c.mu.Unlock()
	if within.Err() != nil {
		return // there is work, or the stream was dead; the stream is opened again afterward
	}
	c.stream.failures++
	wait := min(streamRetry<<min(c.stream.failures, 10), streamMax)
	c.stream.retryAt = c.sys.boot() + time.Second + rand.N(wait)
	c.log.Debug("the stream of changes ended", "error", err)
}

// follow reads events until the stream or within ends.
func (c *Client) follow(ctx, within context.Context) error {
	base, _ := c.net.health()
	req, err := c.net.request(within, base, call{method: http.MethodGet, path: streamPath}, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.net.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return fmt.Errorf("status %d, not a stream", res.StatusCode)
	}
	// No event reported changes since the last answer. If the answer is still fresh, wait until it
	// no longer is before asking again.
	if !sleep(within, c.untilStale()) {
		return within.Err()
	}
	c.refreshStreaming(ctx)
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 4096), maxAnswer)
	event, data := "message", ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch {
		case lines.Text() == "":
			c.heard(ctx, event, data)
			event, data = "message", ""
		case name == "event":
			event = strings.TrimSpace(value)
		case name == "data":
			data = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the server closed the stream")
}

// heard handles an event, and fetches everything if it signals a change. The stream stays open in
// the meantime, so that no change is missed.
func (c *Client) heard(ctx context.Context, event, data string) {
	c.mu.Lock()
	c.stream.heard, c.stream.failures = c.sys.boot(), 0
	c.mu.Unlock()
	if event == "recall" {
		c.hinted(data)
		return
	}
	if event == "license" || event == "revocations" || event == "keyset" {
		if sleep(ctx, rand.N(streamSpread)) {
			c.refreshStreaming(ctx)
		}
	}
}

// refreshStreaming asks the server while the stream is open. It also asks once after opening,
// because no event reported changes from the time without a stream.
func (c *Client) refreshStreaming(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, backgroundTimeout)
	defer cancel()
	_ = c.refreshNow(within, 0)
}

// untilStale returns how long the last signed answer still counts as fresh.
func (c *Client) untilStale() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ago, known := c.sys.ago(c.last); known && ago < freshFor {
		return freshFor - ago
	}
	return 0
}
