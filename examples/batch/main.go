// Batch is a job without licensing code: copyhold run holds a seat while it works. A job that
// was stopped continues where it left off.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "batch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("batch", flag.ContinueOnError)
	frames := flags.Int("frames", 10, "frames to render")
	each := flags.Duration("each", 500*time.Millisecond, "time for each frame")
	state := flags.String("state", "", "file with the last finished frame, to continue after a stop")
	if err := flags.Parse(args); err != nil {
		return err
	}
	first, err := resume(*state)
	if err != nil {
		return err
	}
	for frame := first; frame <= *frames; frame++ {
		if !render(ctx, *each) {
			return fmt.Errorf("stopped before frame %d", frame)
		}
		fmt.Fprintf(out, "frame %d of %d\n", frame, *frames)
		if err := remember(*state, frame); err != nil {
			return err
		}
	}
	return nil
}

// render waits for as long as a frame takes, and reports whether it finished.
func render(ctx context.Context, takes time.Duration) bool {
	select {
	case <-time.After(takes):
		return true
	case <-ctx.Done():
		return false
	}
}

func resume(path string) (next int, err error) {
	if path == "" {
		return 1, nil
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(content)))
	return last + 1, err
}

func remember(path string, frame int) error {
	if path == "" {
		return nil
	}
	return os.WriteFile(path, []byte(strconv.Itoa(frame)+"\n"), 0o600)
}
