// Package copyholdgrpc gates gRPC methods on what a license allows: a feature that has to be
// enabled, units of a pool that are held during the call, and a meter that counts calls.
//
//	gates := copyholdgrpc.Gates{
//		"/render.Renderer/Preview": {Feature: "preview"},
//		"/render.Renderer/Render":  {Feature: "render", Pool: "jobs", Meter: "frames"},
//	}
//	server := grpc.NewServer(
//		grpc.UnaryInterceptor(copyholdgrpc.UnaryServer(client, gates)),
//		grpc.StreamInterceptor(copyholdgrpc.StreamServer(client, gates)),
//	)
//
// Methods that are not listed are not gated. Leave out health checks, reflection, and whatever
// reads the customer's own data.
//
// A call that is refused ends with a status:
//
//   - PermissionDenied: the license does not allow it.
//   - ResourceExhausted: the pool is full or the quota is spent. If it is known by when that
//     ends, the status has a RetryInfo.
//   - Unavailable: no server gave a signed answer. The call may be repeated.
//
// Each has an ErrorInfo with the decision, which [Decision] reads on the other side. Holders of
// units are never in it.
//
// The interceptors for clients gate outgoing calls in the same way, before anything is sent.
package copyholdgrpc
