package cli

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
	"time"

	"github.com/spf13/cobra"
)

// releaseWithin is how long the end of a command waits for its seat to be back.
// The keeper goes on trying afterwards.
const releaseWithin = 2 * time.Second

func (c *cli) runCommand() *cobra.Command {
	var want seatRequest
	var onRecall string
	cmd := &cobra.Command{
		Use:   "run --pool POOL -- COMMAND [ARGUMENT...]",
		Short: "Run a command while holding a seat",
		Long: `Run takes a seat, starts the command, renews the seat while it runs, and gives it
back within 2 seconds of its end, however it ended: also when the command or
copyhold run itself is killed with SIGKILL. Signals are passed on to the command.
A command that has started is never stopped because the server is away or the seat is
lost: it runs on and a warning is printed. Of several servers (--url A,B) any that
answers renews the seat. If an administrator recalls the seat, the command gets the
signal --on-recall, and the seat is given back after the plan's time for that, even if
the command runs on.

Exit status: the command's own, or before it has started: 1 the server refuses the key;
2 the request can't be right; 3 the license denies it; 75 no server answered or --wait
ran out, try again; 126 the command cannot be started; 127 it was not found.`,
		Example: `  copyhold run --pool seats -- make test
  copyhold run --pool seats --wait 30m --holder job:4711 -- ./render.sh scene.blend
  copyhold run --pool cores --units 8 -- simulate --threads 8`,
		Args: atLeast("COMMAND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := c.client(byKey); err != nil {
				return err
			}
			path, err := exec.LookPath(args[0])
			if err != nil {
				return startFailure(err)
			}
			want.RequestID, want.Instance = newRequestID(), instanceName()
			signal, err := recallSignal(onRecall)
			if err != nil {
				return exitf(exitUsage, "--on-recall: %w", err)
			}
			return c.runWithSeat(cmd.Context(), path, args, c.completed(want), signal)
		},
	}
	c.seatFlags(cmd, &want)
	cmd.Flags().StringVar(&onRecall, "on-recall", defaultRecallSignal, "signal that tells the command of a recall: TERM, INT, HUP, QUIT, USR1, USR2, or none")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// startFailure keeps the exit statuses that shells use.
func startFailure(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitf(127, "%w", err)
	}
	return exitf(126, "%w", err)
}

// runWithSeat has a keeper take a seat, and runs the command meanwhile. The
// keeper is a process of its own, so that it can give the seat back when this one
// is killed.
//
// OnRecall tells the command that the seat was recalled; nil tells it nothing.
func (c *cli) runWithSeat(ctx context.Context, path string, args []string, want seatRequest, onRecall os.Signal) error {
	k, err := c.startKeeper(want)
	if err != nil {
		return fmt.Errorf("starting the keeper of the seat: %w", err)
	}
	defer func() { c.giveBack(k, want) }()
	if err := c.awaitSeat(ctx, k); err != nil {
		return err
	}
	command := exec.Command(path) //nolint:noctx // a running command is never killed
	command.Args = args
	command.Stdin, command.Stdout, command.Stderr = c.program.Stdin, c.program.Stdout, c.program.Stderr
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded()...)
	defer signal.Stop(signals)
	if err := command.Start(); err != nil {
		return startFailure(err)
	}
	k.tell(order{PID: command.Process.Pid})
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case s := <-signals:
			if !fromKeyboard(s) || !isTerminal(c.program.Stdin) {
				_ = command.Process.Signal(s) // it may have ended meanwhile
			}
		case n, open := <-k.news:
			c.warnOf(n)
			k.settled = k.settled || n.Status != 0 || n.Recalled
			if n.Recalled && onRecall != nil {
				_ = command.Process.Signal(onRecall) // it may have ended meanwhile
			}
			if !open {
				k = c.replaceKeeper(k, want, command.Process.Pid)
			}
		case err := <-ended:
			var failed *exec.ExitError
			if err != nil && !errors.As(err, &failed) {
				return err
			}
			if status := statusOf(command.ProcessState); status != 0 {
				return &exit{status: status}
			}
			return nil
		}
	}
}

// awaitSeat waits until the keeper has a seat or knows that there is none.
func (c *cli) awaitSeat(ctx context.Context, k *keeper) error {
	for {
		select {
		case <-ctx.Done():
			return exitf(exitFailed, "stopped while waiting for a seat")
		case n, open := <-k.news:
			switch {
			case !open:
				return exitf(exitUnavailable, "the keeper of the seat ended unexpectedly")
			case n.Granted:
				return nil
			case n.Status != 0:
				k.settled = true
				return exitf(n.Status, "%s", n.Message)
			}
			c.warnOf(n)
		}
	}
}

func (c *cli) warnOf(n news) {
	if n.Message != "" {
		c.sayf("copyhold: %s", n.Message)
	}
}

// replaceKeeper starts another keeper when the first was killed. The request id
// is the same, so it gets the same seat. Without a keeper the command runs on.
func (c *cli) replaceKeeper(dead *keeper, want seatRequest, pid int) *keeper {
	dead.end()
	want.Wait = 0
	if dead.settled || dead.successor >= maxSuccessors {
		c.sayf("copyhold: the seat is no longer renewed, the command runs on")
		return &keeper{settled: dead.settled} // a nil channel brings no news
	}
	k, err := c.startKeeper(want)
	if err != nil {
		c.sayf("copyhold: the seat is no longer renewed, the command runs on: %v", err)
		return &keeper{}
	}
	k.successor = dead.successor + 1
	k.tell(order{PID: pid})
	return k
}

// maxSuccessors bounds how often a killed keeper is replaced.
const maxSuccessors = 5

// A keeper is the process that holds the seat, seen from copyhold run.
type keeper struct {
	process   *exec.Cmd
	orders    io.WriteCloser
	news      chan news
	successor int  // how many keepers came before
	settled   bool // it said that no seat is held
}

// An order goes to the keeper. If the pipe ends without Ended, copyhold run was
// killed and the keeper watches the process PID itself.
type order struct {
	PID   int  `json:"pid,omitempty"`
	Ended bool `json:"ended,omitempty"`
}

// News comes from the keeper: the seat is there, or is given back, or will not be
// there (Status is the exit status then), or only a message.
type news struct {
	Granted  bool   `json:"granted,omitempty"`
	Released bool   `json:"released,omitempty"`
	Recalled bool   `json:"recalled,omitempty"`
	Status   int    `json:"status,omitempty"`
	Message  string `json:"message,omitempty"`
}

func (c *cli) startKeeper(want seatRequest) (*keeper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	process := exec.Command(self) //nolint:noctx // the keeper outlives this process on purpose
	process.Args = append([]string{c.program.Args[0], keeperName, string(text)}, c.flagArguments()...)
	process.Env = c.program.Environ
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
	k := &keeper{process: process, orders: orders, news: make(chan news, 16)}
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

func (k *keeper) tell(o order) {
	if k.orders != nil {
		_ = json.NewEncoder(k.orders).Encode(o) // a dead keeper is noticed by the end of its news
	}
}

// giveBack ends the keeper. If it was killed, another one takes the seat up by
// its request id and gives it back.
func (c *cli) giveBack(k *keeper, want seatRequest) {
	if k.end() || k.successor >= maxSuccessors {
		return
	}
	want.Wait = 0
	if next, err := c.startKeeper(want); err == nil {
		next.end()
	}
}

// end tells the keeper to give the seat back and waits until it has, but not
// longer than releaseWithin: it goes on trying. False says that it ended without
// having done so.
func (k *keeper) end() bool {
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

// flagArguments are the common flags again, for the keeper.
func (c *cli) flagArguments() []string {
	var args []string
	for name, value := range map[string]string{
		"url": c.flags.url, "environment": c.flags.environment, "profile": c.flags.profile,
		"key-file": c.flags.keyFile, "root-set": c.flags.rootSet, "ca": c.flags.ca, "timeout": c.flags.timeout.String(),
	} {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	return args
}

func newRequestID() string { return "req_" + rand.Text() }

// instanceName is unique to one run of a program on one host.
func instanceName() string {
	return fmt.Sprintf("%s/%d/%s", hostName(), os.Getpid(), rand.Text()[:8])
}
