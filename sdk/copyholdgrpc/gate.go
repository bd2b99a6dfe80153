package copyholdgrpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/license"
)

// Gates are what methods need, by full method name such as "/render.Renderer/Render".
type Gates map[string]Gate

// A Gate is what one method needs. Its zero value needs nothing.
type Gate struct {
	// Feature has to be enabled. A check reads memory.
	Feature string

	// Pool is the pool of which Units are held from the beginning of the call to its end; 0
	// units are 1. Each call costs a request to the license server. With Wait, a call waits that
	// long for a unit of a full pool, and no longer than its own deadline.
	Pool  string
	Units int64
	Wait  time.Duration

	// Holder names who holds the units, such as the user of the call, in place of the client's
	// holder; nil, or a nil result, does not.
	Holder func(context.Context) *copyhold.Holder

	// GoOnWithoutServer lets calls through without units while no license server answers and
	// the license is in full function. Otherwise such calls end as Unavailable. Until a server is
	// known to be away, a call waits for it for up to 8 seconds.
	GoOnWithoutServer bool

	// Meter counts one unit for each call that does not end with a fault of the server (Unknown,
	// Internal, Unavailable or DataLoss). The metadata idempotency-key of an incoming call makes
	// repetitions count once. Once the quota is spent, calls are refused; a license server that
	// is away refuses none.
	Meter string
}

// idempotencyKey names a call that is repeated.
const idempotencyKey = "idempotency-key"

// releaseWithin bounds how long a call that has ended waits for its units to be given back. The
// client goes on trying after that.
const releaseWithin = 2 * time.Second

// enter holds what a call needs, and returns what ends it. The error is a status.
func (g Gate) enter(ctx context.Context, c *copyhold.Client) (leave func(error), err error) {
	if g.Feature != "" {
		if d := c.Check(g.Feature); d.Outcome != license.Allowed {
			return nil, refuse(d)
		}
	}
	if g.Meter != "" {
		if d := c.Quota(g.Meter); d.Outcome == license.Denied {
			return nil, refuse(d)
		}
	}
	lease, err := g.acquire(ctx, c)
	if err != nil {
		return nil, err
	}
	return func(result error) {
		if lease != nil {
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
			defer cancel()
			_ = lease.Release(within) // the client goes on trying
		}
		if g.Meter != "" && !faulty(result) {
			_ = c.RecordUsage(copyhold.Usage{ID: repetition(ctx), Meter: g.Meter, Quantity: "1"}) // told by OnUsageRefused and LastError
		}
	}, nil
}

func (g Gate) acquire(ctx context.Context, c *copyhold.Client) (*copyhold.Lease, error) {
	if g.Pool == "" {
		return nil, nil
	}
	o := copyhold.AcquireOptions{Units: g.Units, Wait: g.Wait}
	if g.Holder != nil {
		o.Holder = g.Holder(ctx)
	}
	lease, err := c.Acquire(ctx, g.Pool, o)
	var d *copyhold.DecisionError
	switch {
	case err == nil:
		return lease, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, copyhold.ErrUnavailable) && g.GoOnWithoutServer && c.State().Full():
		return nil, nil
	case errors.As(err, &d):
		return nil, refuse(d.Decision)
	}
	return nil, status.Error(codes.Internal, err.Error()) // a fault of this program
}

// faulty reports whether a call ended with a fault of the server.
func faulty(result error) bool {
	s, ok := status.FromError(result)
	if !ok {
		s = status.FromContextError(result)
	}
	switch s.Code() {
	case codes.Unknown, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

// repetition returns the id under which a repeated call counts once, "" for none.
func repetition(ctx context.Context) string {
	if keys := metadata.ValueFromIncomingContext(ctx, idempotencyKey); len(keys) == 1 && len(keys[0]) <= 128 {
		return keys[0]
	}
	return ""
}
