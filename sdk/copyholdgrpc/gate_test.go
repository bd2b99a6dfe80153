package copyholdgrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"copyhold.dev/sdk/copyhold"
	"copyhold.dev/sdk/copyholdgrpc"
	"copyhold.dev/sdk/copyholdtest"
	"copyhold.dev/sdk/license"
)

const (
	check = "/grpc.health.v1.Health/Check" // plays a vendor's unary method
	watch = "/grpc.health.v1.Health/Watch" // plays a vendor's streaming method

)

// A service is a vendor's service on a real socket.
type service struct {
	grpc_health_v1.UnimplementedHealthServer
	answer func(context.Context) error // nil means success
	during chan struct{}               // keeps a stream open until it is closed
}

func (s *service) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if s.answer != nil {
		if err := s.answer(ctx); err != nil {
			return nil, err
		}
	}
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (s *service) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if err := stream.Send(&grpc_health_v1.HealthCheckResponse{}); err != nil {
		return err
	}
	select {
	case <-s.during:
	case <-stream.Context().Done():
	}
	return nil
}

func (s *service) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	return &grpc_health_v1.HealthListResponse{}, nil
}

// serve runs the service with gates in the server and the client, and returns a client.
func serve(t *testing.T, s *service, server, client side) grpc_health_v1.HealthClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	g := grpc.NewServer(grpc.UnaryInterceptor(copyholdgrpc.UnaryServer(server.c, server.gates)), grpc.StreamInterceptor(copyholdgrpc.StreamServer(server.c, server.gates)))
	grpc_health_v1.RegisterHealthServer(g, s)
	go func() { _ = g.Serve(listener) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(copyholdgrpc.UnaryClient(client.c, client.gates)), grpc.WithStreamInterceptor(copyholdgrpc.StreamClient(client.c, client.gates)))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

type side struct {
	c     *copyhold.Client
	gates copyholdgrpc.Gates
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func plan() copyholdtest.Plan {
	return copyholdtest.Plan{Features: map[string]any{"render": true}, Pools: map[string]int64{"jobs": 1}, Meters: map[string]int64{"frames": 2}}
}

// wantStatus checks the code of an error and the decision in it.
func wantStatus(t *testing.T, what string, err error, code codes.Code, decision string) *status.Status {
	t.Helper()
	d, known := copyholdgrpc.Decision(err)
	if status.Code(err) != code || d.Code != decision || known != (decision != "") {
		t.Errorf("%s: %v with %q, want %v with %q", what, err, d.Code, code, decision)
	}
	return status.Convert(err)
}

func TestFeature(t *testing.T) {
	for name, gated := range sides(copyholdgrpc.Gate{Feature: "render"}) {
		t.Run(name, func(t *testing.T) {
			lic := copyholdtest.New(t, plan())
			calls := 0
			h := gated(t, lic.Client(), &service{answer: func(context.Context) error { calls++; return nil }})
			call := func() error { _, err := h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); return err }
			must(t, call())
			lic.SetFeature("render", false)
			wantStatus(t, "a feature that is off", call(), codes.PermissionDenied, license.CodeFeatureAbsent)
			if stream, err := h.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err == nil {
				_, err = stream.Recv()
				wantStatus(t, "a stream", err, codes.PermissionDenied, license.CodeFeatureAbsent)
			} else {
				wantStatus(t, "a stream", err, codes.PermissionDenied, license.CodeFeatureAbsent)
			}
			if _, err := h.List(t.Context(), &grpc_health_v1.HealthListRequest{}); err != nil {
				t.Errorf("a method that is not gated: %v", err)
			}
			lic.SetFeature("render", true)
			lic.SetState(license.StateGrace)
			must(t, call())
			lic.SetState(license.StateDenied)
			wantStatus(t, "suspended", call(), codes.PermissionDenied, license.CodeSuspended)
			if calls != 2 {
				t.Errorf("served %d calls, want 2", calls)
			}
		})
	}
}

// sides gates both methods, once in the server and once in the client.
func sides(g copyholdgrpc.Gate) map[string]func(*testing.T, *copyhold.Client, *service) grpc_health_v1.HealthClient {
	gates := copyholdgrpc.Gates{check: g, watch: g}
	return map[string]func(*testing.T, *copyhold.Client, *service) grpc_health_v1.HealthClient{
		"server": func(t *testing.T, c *copyhold.Client, s *service) grpc_health_v1.HealthClient {
			return serve(t, s, side{c, gates}, side{})
		},
		"client": func(t *testing.T, c *copyhold.Client, s *service) grpc_health_v1.HealthClient {
			return serve(t, s, side{}, side{c, gates})
		},
	}
}

func TestPool(t *testing.T) {
	for name, gated := range sides(copyholdgrpc.Gate{Pool: "jobs"}) {
		t.Run(name, func(t *testing.T) {
			lic := copyholdtest.New(t, plan())
			s := &service{during: make(chan struct{})}
			h := gated(t, lic.Client(), s)
			call := func() error { _, err := h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); return err }
			s.answer = func(context.Context) error {
				if lic.Held("jobs") != 1 {
					return status.Error(codes.Internal, "no unit is held during the call")
				}
				return nil
			}
			for range 3 {
				must(t, call())
				if n := lic.Held("jobs"); n != 0 {
					t.Fatalf("%d units are held after the call", n)
				}
			}
			stream, err := h.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			must(t, err)
			_, err = stream.Recv()
			must(t, err)
			full := wantStatus(t, "a full pool", call(), codes.ResourceExhausted, license.CodePoolFull)
			wait := time.Duration(0)
			for _, detail := range full.Details() {
				if r, ok := detail.(*errdetails.RetryInfo); ok {
					wait = r.GetRetryDelay().AsDuration()
				}
			}
			if wait <= 0 || wait > 2*time.Hour {
				t.Errorf("try again in %v", wait)
			}
			close(s.during)
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v", err)
			}
			must(t, call())
			lic.SetPool("jobs", 0)
			wantStatus(t, "more than the pool has", call(), codes.PermissionDenied, license.CodeTooManyUnits)
		})
	}
}

// A stream that its caller abandons no longer holds units.
func TestAStreamThatIsGivenUp(t *testing.T) {
	for name, gated := range sides(copyholdgrpc.Gate{Pool: "jobs", Wait: time.Minute}) {
		t.Run(name, func(t *testing.T) {
			lic := copyholdtest.New(t, plan())
			h := gated(t, lic.Client(), &service{during: make(chan struct{})})
			ctx, cancel := context.WithCancel(t.Context())
			stream, err := h.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
			must(t, err)
			_, err = stream.Recv()
			must(t, err)
			cancel()
			_, err = h.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}) // waits for a unit
			must(t, err)
		})
	}
}

func TestMeter(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	s := &service{}
	h := serve(t, s, side{lic.Client(), copyholdgrpc.Gates{check: {Meter: "frames"}}}, side{})
	call := func(key string) error {
		_, err := h.Check(metadata.AppendToOutgoingContext(t.Context(), "idempotency-key", key), &grpc_health_v1.HealthCheckRequest{})
		return err
	}
	for range 2 {
		must(t, call("a"))
	}
	s.answer = func(context.Context) error { return errors.New("a fault of the server") }
	if status.Code(call("b")) != codes.Unknown {
		t.Error("the fault is another")
	}
	s.answer = func(context.Context) error { return status.Error(codes.NotFound, "no such scene") }
	if status.Code(call("c")) != codes.NotFound {
		t.Error("the answer is another")
	}
	if got := lic.Usage("frames"); len(got) != 2 || got[0].ID != "a" || got[1].ID != "c" {
		t.Errorf("counted %+v", got)
	}
	s.answer = nil
	must(t, call("d"))
	if got := lic.Usage("frames"); len(got) != 2 {
		t.Errorf("counted %+v beyond the quota", got)
	}
	wantStatus(t, "a spent quota", call("e"), codes.ResourceExhausted, license.CodeQuotaSpent)
}

// Without a license server, a call that needs units is unavailable and never denied. A gate can let
// such calls continue while the license is good.
func TestWithoutALicenseServer(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	c := lic.Client()
	gate := copyholdgrpc.Gate{Feature: "render", Pool: "jobs"}
	strict := serve(t, &service{}, side{c, copyholdgrpc.Gates{check: gate}}, side{})
	gate.GoOnWithoutServer = true
	lenient := serve(t, &service{}, side{c, copyholdgrpc.Gates{check: gate}}, side{})
	lic.Offline()
	_, err := strict.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	wantStatus(t, "no server", err, codes.Unavailable, license.CodeUnavailable)
	_, err = lenient.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	must(t, err)
	lic.Advance(30 * 24 * time.Hour)
	_, err = lenient.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	wantStatus(t, "after the grace", err, codes.PermissionDenied, license.CodeDegraded)
	none := serve(t, &service{}, side{nil, copyholdgrpc.Gates{check: {Feature: "render"}}}, side{})
	_, err = none.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	wantStatus(t, "no license", err, codes.Unavailable, license.CodeNoLicense)
}

func TestUnitsAreHeldByTheUserOfTheCall(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	var asked []string
	holder := func(ctx context.Context) *copyhold.Holder {
		user := metadata.ValueFromIncomingContext(ctx, "user")
		asked = append(asked, user...)
		return &copyhold.Holder{Kind: copyhold.KindUser, ID: map[string]string{"ann": "ann", "hidden": "a\u00adnn"}[user[0]]}
	}
	h := serve(t, &service{}, side{lic.Client(), copyholdgrpc.Gates{check: {Pool: "jobs", Holder: holder}}}, side{})
	call := func(user string) error {
		_, err := h.Check(metadata.AppendToOutgoingContext(t.Context(), "user", user), &grpc_health_v1.HealthCheckRequest{})
		return err
	}
	must(t, call("ann"))
	wantStatus(t, "a name that cannot be right", call("hidden"), codes.Internal, "")
	if len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
}

// Units are given back if the call panics.
func TestAPanicHoldsNothing(t *testing.T) {
	lic := copyholdtest.New(t, plan())
	intercept := copyholdgrpc.UnaryServer(lic.Client(), copyholdgrpc.Gates{check: {Pool: "jobs", Meter: "frames"}})
	func() {
		defer func() { _ = recover() }()
		_, _ = intercept(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: check}, func(context.Context, any) (any, error) { panic("a fault of the program") })
	}()
	if lic.Held("jobs") != 0 || len(lic.Usage("frames")) != 0 {
		t.Errorf("%d units are held, counted %v", lic.Held("jobs"), lic.Usage("frames"))
	}
}

func TestOtherErrorsHaveNoDecision(t *testing.T) {
	for _, err := range []error{nil, io.EOF, status.Error(codes.PermissionDenied, "not yours")} {
		if d, known := copyholdgrpc.Decision(err); known {
			t.Errorf("%v: %s", err, d)
		}
	}
}
