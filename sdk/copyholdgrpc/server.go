package copyholdgrpc

import (
	"context"

	"google.golang.org/grpc"

	"copyhold.dev/sdk/copyhold"
)

// UnaryServer gates incoming calls. Gates must not change afterward.
func UnaryServer(c *copyhold.Client, gates Gates) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
		gate, gated := gates[info.FullMethod]
		if !gated {
			return handle(ctx, request)
		}
		leave, err := gate.enter(ctx, c)
		if err != nil {
			return nil, err
		}
		ended := errPanicked
		defer func() { leave(ended) }()
		answer, err = handle(ctx, request)
		ended = err
		return answer, err
	}
}

// StreamServer gates incoming streams. Units are held until the stream ends, and a stream counts as
// one call. Gates must not change afterward.
func StreamServer(c *copyhold.Client, gates Gates) grpc.StreamServerInterceptor {
	return func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		gate, gated := gates[info.FullMethod]
		if !gated {
			return handle(service, stream)
		}
		leave, err := gate.enter(stream.Context(), c)
		if err != nil {
			return err
		}
		ended := errPanicked
		defer func() { leave(ended) }()
		ended = handle(service, stream)
		return ended
	}
}
