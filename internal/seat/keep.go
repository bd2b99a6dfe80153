package seat

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	spread "math/rand/v2"
	"os"
	"time"

	"copyhold.dev/internal/client"
)

// orphanPoll is how often a keeper checks whether the command still runs, after copyhold run
// was killed.
const orphanPoll = 250 * time.Millisecond

// Keep takes a seat, reports it on out, renews it until orders say that the command has
// ended, and releases it. It returns when the seat is released or has expired, whatever
// happens to the calling process. Run it in a separate process that Outlive has prepared.
func Keep(ctx context.Context, server *client.Client, want Request, orders io.Reader, out io.Writer) {
	k := &keeper{server: server, want: want, out: json.NewEncoder(out)}
	k.keep(context.WithoutCancel(ctx), orders)
}

// A keeper takes a seat, renews it until it learns that the command has ended, and releases it.
type keeper struct {
	server *client.Client
	want   Request
	out    *json.Encoder
	seat   Seat
	nonce  string // of a renewal that has no answer yet
	warned bool
}

// say sends news. If copyhold run is dead, nobody reads them.
func (k *keeper) say(n news) { _ = k.out.Encode(n) }

func (k *keeper) keep(ctx context.Context, orders io.Reader) {
	waiting, stopWaiting := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer stopWaiting()
		watch(orders)
	}()
	s, err := k.acquire(waiting)
	if waiting.Err() != nil && err != nil {
		k.abandon(ctx)
		return
	}
	if err != nil {
		k.say(refusal(err))
		return
	}
	k.seat = s
	k.say(news{Granted: true})
	k.renewUntil(ctx, over)
	k.release(ctx)
}

// watch returns when the command has ended: copyhold run says so, or its pipe has broken and
// the process is gone.
func watch(orders io.Reader) {
	var command *os.Process
	for lines := bufio.NewScanner(orders); lines.Scan(); {
		var o order
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			continue
		}
		if o.Ended {
			return
		}
		if p, err := os.FindProcess(o.PID); o.PID > 0 && err == nil {
			command = p
		}
	}
	if command == nil {
		return
	}
	for poll := time.NewTicker(orphanPoll); alive(command); {
		<-poll.C
	}
}

// refusal turns an error into news that there is no seat.
func refusal(err error) news { return news{Status: client.KindOf(err), Message: err.Error()} }

// renewUntil renews the seat until the command ends or the time allowed by a recall is over.
// It never affects the command.
func (k *keeper) renewUntil(ctx context.Context, over <-chan struct{}) {
	listening, deaf := context.WithCancel(ctx)
	defer deaf()
	hints := make(chan string)
	go k.hearRecalls(listening, hints)
	var hinted time.Time
	for failures := 0; ; {
		dates := k.seat.Dates()
		if dates.Recall != nil {
			k.awaitRecall(dates, over)
			return
		}
		wait := dates.nextRenewal(time.Now(), spread.Float64())
		if failures > 0 {
			wait = min(time.Second<<min(failures, 5), 30*time.Second)
		}
		select {
		case <-over:
			return
		case id := <-hints:
			if id != k.seat.ID || time.Since(hinted) < hintEvery {
				continue
			}
			hinted = time.Now()
		case <-time.After(wait):
		}
		renewed, err := k.renew(ctx)
		if err != nil {
			failures++
			k.warn(err)
			continue
		}
		failures, k.warned, k.seat = 0, false, renewed
	}
}

// hintEvery is the minimum time between renewals caused by hints of a recall, because a hint
// may be false.
const hintEvery = time.Minute

// renew renews the seat, or takes another one if the server no longer knows it.
func (k *keeper) renew(ctx context.Context) (Seat, error) {
	if k.nonce == "" {
		k.nonce = rand.Text()
	}
	renewed, err := Renew(ctx, k.server, k.seat, k.nonce, k.want.Caller)
	switch {
	case err == nil:
		k.nonce = ""
		return renewed, nil
	case !hasCode(err, "gone", "not_found"):
		return renewed, err
	}
	k.nonce = ""
	k.want.RequestID, k.want.Wait = NewRequestID(), 0
	return k.acquire(ctx)
}

// warn reports once per outage that the seat is not being renewed.
func (k *keeper) warn(err error) {
	if !k.warned {
		k.warned = true
		k.say(news{Message: fmt.Sprintf("the seat cannot be renewed at the moment; the command continues: %v", err)})
	}
}

func (k *keeper) acquire(ctx context.Context) (Seat, error) {
	a, err := Acquire(ctx, k.server, k.want, func(text string) { k.say(news{Message: text}) })
	if err != nil {
		return Seat{}, err
	}
	var s Seat
	return s, a.Decode(&s)
}

// abandon releases the seat that a canceled request may have received. Repeating the request
// with the same id returns that seat.
func (k *keeper) abandon(ctx context.Context) {
	k.want.Wait = 0
	s, err := k.acquire(ctx)
	if err != nil {
		k.say(refusal(err))
		return
	}
	k.seat = s
	k.release(ctx)
}

// release releases the seat, and keeps trying until the lease has expired.
func (k *keeper) release(ctx context.Context) {
	ends := time.Unix(k.seat.Dates().Expires, 0)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := Release(ctx, k.server, k.seat, k.nonce, k.want.Caller)
		if err == nil || time.Now().After(ends) {
			k.say(news{Released: true})
			return
		}
		k.warn(err)
		time.Sleep(pause)
	}
}
