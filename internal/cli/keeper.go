package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	spread "math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"
)

// keeperName is the hidden command that holds the seat for copyhold run.
const keeperName = "keep-seat"

// orphanPoll is how often a keeper whose copyhold run was killed looks whether
// the command still runs.
const orphanPoll = 250 * time.Millisecond

func (c *cli) keeperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    keeperName + " REQUEST",
		Hidden: true,
		Args:   exactly("REQUEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			outlive()
			var want seatRequest
			if err := json.Unmarshal([]byte(args[0]), &want); err != nil {
				return fmt.Errorf("reading the request: %w", err)
			}
			server, err := c.client(byKey)
			if err != nil {
				return err
			}
			k := &seatKeeper{server: server, want: want, out: json.NewEncoder(c.program.Stdout)}
			k.keep(context.WithoutCancel(cmd.Context()), c.program.Stdin)
			return nil
		},
	}
}

// A seatKeeper takes a seat, renews it until it is told that the command has
// ended, and gives it back.
type seatKeeper struct {
	server *client
	want   seatRequest
	out    *json.Encoder
	seat   seat
	nonce  string // of the renewal that has no answer yet
	warned bool
}

// say sends news; copyhold run may be dead, and then nobody listens.
func (k *seatKeeper) say(n news) { _ = k.out.Encode(n) }

func (k *seatKeeper) keep(ctx context.Context, orders io.Reader) {
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

// watch returns when the command has ended: copyhold run says so, or its pipe
// broke and the process is gone.
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

// refusal turns an error into the news that there is no seat.
func refusal(err error) news {
	var e *exit
	var p *problem
	status := exitFailed
	switch {
	case errors.As(err, &e):
		status = e.status
	case errors.As(err, &p):
		status = p.exitStatus()
	}
	return news{Status: status, Message: err.Error()}
}

// renewUntil renews the seat until the command is over, or the grace of a recall.
// Nothing that happens here touches the command.
func (k *seatKeeper) renewUntil(ctx context.Context, over <-chan struct{}) {
	listening, deaf := context.WithCancel(ctx)
	defer deaf()
	hints := make(chan string)
	go k.hearRecalls(listening, hints)
	var hinted time.Time
	for failures := 0; ; {
		dates := k.seat.dates()
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

// hintEvery is how often a hint of a recall that the lease does not confirm has it renewed.
const hintEvery = time.Minute

// renew renews the seat, or takes another if the server no longer knows it.
func (k *seatKeeper) renew(ctx context.Context) (seat, error) {
	if k.nonce == "" {
		k.nonce = rand.Text()
	}
	renewed, err := k.server.renewSeat(ctx, k.seat, k.nonce, k.want.caller)
	switch {
	case err == nil:
		k.nonce = ""
		return renewed, nil
	case !hasCode(err, "gone", "not_found"):
		return renewed, err
	}
	k.nonce = ""
	k.want.RequestID, k.want.Wait = newRequestID(), 0
	return k.acquire(ctx)
}

// warn says once per outage that the seat is not renewed.
func (k *seatKeeper) warn(err error) {
	if !k.warned {
		k.warned = true
		k.say(news{Message: fmt.Sprintf("the seat is not renewed, the command runs on: %v", err)})
	}
}

func (k *seatKeeper) acquire(ctx context.Context) (seat, error) {
	a, err := k.server.awaitSeat(ctx, k.want, func(text string) { k.say(news{Message: text}) })
	if err != nil {
		return seat{}, err
	}
	var s seat
	return s, a.decode(&s)
}

// abandon gives back what a request that nobody waits for any more may have got:
// asking again with its id tells.
func (k *seatKeeper) abandon(ctx context.Context) {
	k.want.Wait = 0
	s, err := k.acquire(ctx)
	if err != nil {
		k.say(refusal(err))
		return
	}
	k.seat = s
	k.release(ctx)
}

// release gives the seat back, trying until the lease has ended by itself.
func (k *seatKeeper) release(ctx context.Context) {
	ends := time.Unix(k.seat.dates().Expires, 0)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := k.server.releaseSeat(ctx, k.seat, k.nonce, k.want.caller)
		if err == nil || time.Now().After(ends) {
			k.say(news{Released: true})
			return
		}
		k.warn(err)
		time.Sleep(pause)
	}
}
