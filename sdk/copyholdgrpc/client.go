package copyholdgrpc

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"copyhold.dev/sdk/copyhold"
)

// errPanicked is the result of a call that panicked. Its units are given back, and it is not
// counted.
var errPanicked = errors.New("the call did not return")

// UnaryClient gates outgoing calls. A refused call is not sent. Gates must not change afterward.
func UnaryClient(c *copyhold.Client, gates Gates) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		gate, gated := gates[method]
		if !gated {
			return invoke(ctx, method, request, answer, conn, o...)
		}
		leave, err := gate.enter(ctx, c)
		if err != nil {
			return err
		}
		ended := errPanicked
		defer func() { leave(ended) }()
		ended = invoke(ctx, method, request, answer, conn, o...)
		return ended
	}
}

// StreamClient gates outgoing streams. Units are held until the stream ends, which is when RecvMsg
// fails or the context ends. Gates must not change afterward.
func StreamClient(c *copyhold.Client, gates Gates) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
		gate, gated := gates[method]
		if !gated {
			return open(ctx, desc, conn, method, o...)
		}
		leave, err := gate.enter(ctx, c)
		if err != nil {
			return nil, err
		}
		within, done := context.WithCancel(ctx)
		stream, err := open(within, desc, conn, method, o...)
		if err != nil {
			done()
			leave(err)
			return nil, err
		}
		g := &gatedStream{ClientStream: stream, many: desc.ServerStreams, leave: leave, done: done}
		context.AfterFunc(within, func() { g.end(status.FromContextError(within.Err()).Err()) })
		return g, nil
	}
}

// A gatedStream gives its units back when it ends.
type gatedStream struct {
	grpc.ClientStream
	many  bool // there may be several answers
	leave func(error)
	done  context.CancelFunc
	once  sync.Once
}

func (g *gatedStream) RecvMsg(m any) error {
	err := g.ClientStream.RecvMsg(m)
	switch {
	case errors.Is(err, io.EOF):
		g.end(nil)
	case err != nil || !g.many:
		g.end(err)
	}
	return err
}

func (g *gatedStream) end(result error) {
	g.once.Do(func() {
		g.done()
		g.leave(result)
	})
}
