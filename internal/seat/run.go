package seat

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"time"

	"copyhold.dev/internal/client"
)

// Kinds for a command that was not started: the exit statuses that shells use.
const (
	notStarted client.Kind = 126
	notFound   client.Kind = 127
)

// releaseWithin is how long copyhold run waits for the seat to be released after the command
// has ended. The keeper continues to try afterward.
const releaseWithin = 2 * time.Second

// A Run runs one command while a keeper holds a seat for it. The keeper is a separate process,
// so that it can release the seat if this process is killed.
type Run struct {
	Want     Request   // with a request id; the same id gets the same seat
	OnRecall os.Signal // sent to the command when the seat is recalled; nil for none
	Keeper   []string  // the keeper's arguments, its name first; the request is appended, and this program is started
	Environ  []string  // of the keeper, in the form of os.Environ

	Stdin          io.Reader // of the command
	Stdout, Stderr io.Writer
	Terminal       bool // Stdin is a terminal, which sends signals to the command directly

	Say func(text string) // receives messages for people; called by one goroutine
}

// startFailure returns err with the exit status that shells use.
func startFailure(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return client.Errorf(notFound, "%w", err)
	}
	return client.Errorf(notStarted, "%w", err)
}

// Command takes the seat, runs the command with its arguments, and returns the exit status
// that a shell would. A command that has started is never stopped: it continues if the seat
// is lost. An error means that the command did not run; its kind says whether to try again.
func (r Run) Command(ctx context.Context, args []string) (int, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 0, startFailure(err)
	}
	k, err := r.startKeeper(r.Want)
	if err != nil {
		return 0, fmt.Errorf("starting the keeper process: %w", err)
	}
	defer func() { r.giveBack(k) }()
	if err := r.awaitSeat(ctx, k); err != nil {
		return 0, err
	}
	command := exec.Command(path) //nolint:noctx // a running command is never killed
	command.Args = args
	command.Stdin, command.Stdout, command.Stderr = r.Stdin, r.Stdout, r.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded()...)
	defer signal.Stop(signals)
	if err := command.Start(); err != nil {
		return 0, startFailure(err)
	}
	k.tell(order{PID: command.Process.Pid})
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case s := <-signals:
			if !fromKeyboard(s) || !r.Terminal {
				_ = command.Process.Signal(s) // the command may have ended
			}
		case n, open := <-k.news:
			r.warnOf(n)
			k.settled = k.settled || n.Status != 0 || n.Recalled
			if n.Recalled && r.OnRecall != nil {
				_ = command.Process.Signal(r.OnRecall) // the command may have ended
			}
			if !open {
				k = r.replaceKeeper(k, command.Process.Pid)
			}
		case err := <-ended:
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) {
				return 0, err
			}
			return ExitStatus(command.ProcessState), nil
		}
	}
}

// awaitSeat waits until the keeper has a seat or knows that there is none.
func (r Run) awaitSeat(ctx context.Context, k *keeperProcess) error {
	for {
		select {
		case <-ctx.Done():
			return client.Errorf(client.Failed, "interrupted while waiting for a seat")
		case n, open := <-k.news:
			switch {
			case !open:
				return client.Errorf(client.Unavailable, "the keeper process ended unexpectedly")
			case n.Granted:
				return nil
			case n.Status != 0:
				k.settled = true
				return client.Errorf(n.Status, "%s", n.Message)
			}
			r.warnOf(n)
		}
	}
}

func (r Run) warnOf(n news) {
	if n.Message != "" {
		r.Say(n.Message)
	}
}

// replaceKeeper starts another keeper after the first was killed. The request id is the same,
// so it gets the same seat. Without a keeper, the command continues.
func (r Run) replaceKeeper(dead *keeperProcess, pid int) *keeperProcess {
	dead.end()
	if dead.settled || dead.successor >= maxSuccessors {
		r.Say("the seat is no longer renewed; the command continues")
		return &keeperProcess{settled: dead.settled} // a nil channel brings no news
	}
	want := r.Want
	want.Wait = 0
	k, err := r.startKeeper(want)
	if err != nil {
		r.Say(fmt.Sprintf("the seat is no longer renewed; the command continues: %v", err))
		return &keeperProcess{}
	}
	k.successor = dead.successor + 1
	k.tell(order{PID: pid})
	return k
}

// maxSuccessors limits how often a killed keeper is replaced.
const maxSuccessors = 5

// A keeperProcess is the process that holds the seat, as copyhold run sees it.
type keeperProcess struct {
	process   *exec.Cmd
	orders    io.WriteCloser
	news      chan news
	successor int  // number of earlier keepers
	settled   bool // it reported that no seat is held
}

// An order is sent to the keeper. If the pipe ends without Ended, copyhold run was killed,
// and the keeper itself watches the process PID.
type order struct {
	PID   int  `json:"pid,omitempty"`
	Ended bool `json:"ended,omitempty"`
}

// News comes from the keeper: the seat was granted, released or recalled, or there will be
// none (Status is then the exit status), or there is only a message.
type news struct {
	Granted  bool        `json:"granted,omitempty"`
	Released bool        `json:"released,omitempty"`
	Recalled bool        `json:"recalled,omitempty"`
	Status   client.Kind `json:"status,omitempty"`
	Message  string      `json:"message,omitempty"`
}

func (r Run) startKeeper(want Request) (*keeperProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	process := exec.Command(self) //nolint:noctx // the keeper outlives this process on purpose
	process.Args = append(slices.Clone(r.Keeper), string(text))
	process.Env = r.Environ
	detach(process)
	orders, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	k := &keeperProcess{process: process, orders: orders, news: make(chan news, 16)}
	go func() {
		defer close(k.news)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n news
			if json.Unmarshal(lines.Bytes(), &n) == nil {
				k.news <- n
			}
		}
	}()
	return k, nil
}

func (k *keeperProcess) tell(o order) {
	if k.orders != nil {
		_ = json.NewEncoder(k.orders).Encode(o) // the end of its news reveals a dead keeper
	}
}

// giveBack ends the keeper. If the keeper was killed, another one finds the seat by its
// request id and releases it.
func (r Run) giveBack(k *keeperProcess) {
	if k.end() || k.successor >= maxSuccessors {
		return
	}
	want := r.Want
	want.Wait = 0
	if next, err := r.startKeeper(want); err == nil {
		next.end()
	}
}

// end tells the keeper to release the seat and waits for that, but at most releaseWithin: the
// keeper continues to try. It returns false if the keeper ended without releasing the seat.
func (k *keeperProcess) end() bool {
	if k.orders == nil {
		return k.settled
	}
	k.tell(order{Ended: true})
	k.orders.Close()
	gone := make(chan bool, 1)
	go func() {
		settled := k.settled
		for n := range k.news {
			settled = settled || n.Released || n.Status != 0
		}
		_ = k.process.Wait()
		gone <- settled
	}()
	select {
	case settled := <-gone:
		return settled
	case <-time.After(releaseWithin):
		return true
	}
}

// NewRequestID returns an id for a new request.
func NewRequestID() string { return "req_" + rand.Text() }

// InstanceName returns a name that is unique to one run of a program on one host.
func InstanceName() string {
	return fmt.Sprintf("%s/%d/%s", HostName(), os.Getpid(), rand.Text()[:8])
}
