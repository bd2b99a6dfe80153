package seat

import (
	"bufio"
	"context"
	"encoding/json"
	spread "math/rand/v2"
	"net/http"
	"strings"
	"time"

	"copyhold.dev/internal/client"
)

// A recall is the part of a lease document that recalls the lease.
type recall struct {
	Until  int64  `json:"until"`
	Reason string `json:"reason"`
}

// message describes r for people.
func (r recall) message() string {
	text := "the seat was recalled and will be released at " + time.Unix(r.Until, 0).UTC().Format(time.RFC3339)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

// Shortest and longest pause between attempts to listen for recalls.
const (
	listenAgain = 2 * time.Second
	listenLater = time.Minute
)

// hearRecalls sends the ids of leases that the server reports as recalled, until ctx ends.
// An id alone proves nothing; the next renewal confirms the recall.
func (k *keeper) hearRecalls(ctx context.Context, hints chan<- string) {
	for pause := listenAgain; ctx.Err() == nil; pause = min(2*pause, listenLater) {
		if err := followRecalls(ctx, k.server, hints); err == nil {
			pause = listenAgain // the stream was open; it ends now and then
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause + spread.N(pause)):
		}
	}
}

// followRecalls reads the stream of changes until it ends. It returns nil if the stream was open.
func followRecalls(ctx context.Context, c *client.Client, hints chan<- string) error {
	events, err := c.Stream(ctx, client.Call{As: client.ByKey, Method: http.MethodGet, Path: "/v1/license/stream"})
	if err != nil {
		return err
	}
	defer events.Close()
	event := ""
	for lines := bufio.NewScanner(events); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "event":
			event = value
		case name == "data" && event == "recall":
			var of struct{ Lease string }
			if json.Unmarshal([]byte(value), &of) != nil {
				continue
			}
			select {
			case hints <- of.Lease:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// awaitRecall waits until the seat must be released or the command has ended. It counts from
// the time when the lease was issued, because this machine's clock may differ from the server's.
func (k *keeper) awaitRecall(d Dates, over <-chan struct{}) {
	k.say(news{Recalled: true, Message: d.Recall.message()})
	stop := time.NewTimer(time.Duration(d.Recall.Until-d.IssuedAt) * time.Second)
	defer stop.Stop()
	select {
	case <-over:
	case <-stop.C:
		k.say(news{Message: "releasing the seat because it was recalled"})
	}
}
