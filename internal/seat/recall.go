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

// A recall is what a lease document tells of one.
type recall struct {
	Until  int64  `json:"until"`
	Reason string `json:"reason"`
}

// message tells people of r.
func (r recall) message() string {
	text := "the seat is recalled and given back at " + time.Unix(r.Until, 0).UTC().Format(time.RFC3339)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

// Pauses between two tries to hear of recalls.
const (
	listenAgain = 2 * time.Second
	listenLater = time.Minute
)

// hearRecalls sends the ids of leases that the server says are recalled, until ctx
// ends. An id proves nothing: the next renewal tells.
func (k *keeper) hearRecalls(ctx context.Context, hints chan<- string) {
	for pause := listenAgain; ctx.Err() == nil; pause = min(2*pause, listenLater) {
		if err := followRecalls(ctx, k.server, hints); err == nil {
			pause = listenAgain // it was open, and ends now and then
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause + spread.N(pause)):
		}
	}
}

// followRecalls reads the stream of changes until it ends; nil says that it was open.
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

// awaitRecall waits until the seat has to be given back, or the command is over. It
// counts from the lease's issue: this machine's clock may differ from the server's.
func (k *keeper) awaitRecall(d Dates, over <-chan struct{}) {
	k.say(news{Recalled: true, Message: d.Recall.message()})
	stop := time.NewTimer(time.Duration(d.Recall.Until-d.IssuedAt) * time.Second)
	defer stop.Stop()
	select {
	case <-over:
	case <-stop.C:
		k.say(news{Message: "the seat is given back, as it was recalled"})
	}
}
