// Package copyholdgrpc gates gRPC methods on a license. A method can require a feature, hold units
// of a pool during the call, and count calls on a meter.
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
// Methods that are not listed are not gated. Do not list health checks, reflection, or methods
// that read the customer's own data.
//
// A refused call ends with a status:
//
//   - PermissionDenied: the license does not allow it.
//   - ResourceExhausted: the pool is full or the quota is used up. If it is known when that
//     ends, the status has a RetryInfo.
//   - Unavailable: no server gave a signed answer. The caller may retry.
//
// Each status has an ErrorInfo with the decision, which [Decision] reads on the other side. It
// never contains the holders of units.
//
// The client interceptors gate outgoing calls in the same way, before anything is sent.
package copyholdgrpc
