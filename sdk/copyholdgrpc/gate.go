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

// Gates are the requirements of methods, by full method name such as "/render.Renderer/Render".
type Gates map[string]Gate

// A Gate is the requirements of one method. The zero Gate requires nothing.
type Gate struct {
	// Feature is a feature that must be enabled. The check reads memory.
	Feature string

	// Pool is a pool of which the call holds Units from its start to its end; 0 units means 1. Each
	// call costs a request to the license server. With Wait, a call waits up to that long for a
	// unit of a full pool, but not beyond its own deadline.
	Pool  string
	Units int64
	Wait  time.Duration

	// Holder returns the holder of the units, such as the user of the call. The client's holder is
	// used if Holder is nil or returns nil.
	Holder func(context.Context) *copyhold.Holder

	// GoOnWithoutServer lets calls continue without units while no license server answers and the
	// license has full function. Otherwise such calls end as Unavailable. Until the client knows
	// that the server is unreachable, a call waits for it for up to 8 seconds.
	GoOnWithoutServer bool

	// Meter is a meter that counts one unit for each call, except for calls that end with a fault
	// of the server (Unknown, Internal, Unavailable, or DataLoss). If an incoming call has the
	// metadata idempotency-key, repeated calls with the same key count once. Once the quota is used
	// up, calls are refused. An unreachable license server never causes a refusal.
	Meter string
}

// idempotencyKey is the metadata key that identifies a repeated call.
const idempotencyKey = "idempotency-key"

// releaseWithin limits how long a finished call waits for its units to be given back. After that,
// the client keeps trying in the background.
const releaseWithin = 2 * time.Second

// enter acquires what a call requires, and returns a function that ends it. The error is a status.
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
			_ = lease.Release(within) // if this fails, the client keeps trying
		}
		if g.Meter != "" && !faulty(result) {
			_ = c.RecordUsage(copyhold.Usage{ID: repetition(ctx), Meter: g.Meter, Quantity: "1"}) // OnUsageRefused and LastError report errors
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
	return nil, status.Error(codes.Internal, err.Error()) // an error in this program
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

// repetition returns the id under which a repeated call counts once, or "".
func repetition(ctx context.Context) string {
	if keys := metadata.ValueFromIncomingContext(ctx, idempotencyKey); len(keys) == 1 && len(keys[0]) <= 128 {
		return keys[0]
	}
	return ""
}
