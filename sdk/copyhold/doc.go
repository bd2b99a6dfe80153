// Package copyhold is the client for programs that are licensed with Copyhold. It reports what
// the license allows. It verifies signed documents, caches them on disk, and keeps working
// while no license server can be reached.
//
//	client, err := copyhold.Open(ctx, copyhold.Options{
//		Endpoints: []string{"https://licenses.example.com"},
//		KeyFile:   "/etc/lathe/license.key",
//		Product:   "lathe",
//		RootSet:   rootSet, // the keys that the program trusts; embed them with go:embed
//	})
//	if err != nil {
//		return err // the options are wrong; an unreachable server is not an error here
//	}
//	defer client.Close()
//
// # Features, pools, and meters
//
// A feature is a named value in the license: on or off, a number, or a text. A check reads
// memory, takes nanoseconds, and never waits:
//
//	export := client.Feature("export") // once, at startup
//	if export.Enabled() { … }
//
// A pool is a number of units that programs take and give back, such as seats or machines.
// Acquire takes units for this program. The client renews them until they are released:
//
//	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{Wait: time.Minute})
//	if err != nil { … }
//	defer seat.Release(ctx)
//
// A meter counts something that is used up, such as API calls. Record writes the usage to a
// file in the cache folder and returns. The client sends it in the background:
//
//	err := client.Record("calls", 1)
//
// # Denied or unavailable
//
// Only a signed statement can take a right away. An Acquire can therefore fail in two ways,
// and a program handles each differently:
//
//	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{})
//	switch {
//	case errors.Is(err, copyhold.ErrDenied):
//		// The license does not allow it. Show err: it gives the reason, and by when a unit is free.
//	case errors.Is(err, copyhold.ErrUnavailable):
//		// No server answered. Weigh the cost of a wrong guess; see below.
//	}
//
// The client leaves one decision to the program: what to do if no server answers an Acquire.
//
//   - An interactive program lets its user continue while client.State().Full() is true, and
//     retries in the background. The license is good; only the count is missing.
//   - A batch job or a build waits and retries. Once a server answers, AcquireOptions.Wait
//     queues it for a unit. An outage never stops a job that is already running.
//   - If a program must never exceed the number of purchased copies, it stops. Acquire its
//     units ahead of time: a lease survives an outage for as long as its own grace lasts, and
//     a borrowed lease (AcquireOptions.For) needs no server until it ends.
//
// Never make these depend on a license: reading and saving the user's own data, health checks,
// and shutdown.
//
// # States
//
// A license is valid, stale (a refresh is overdue), in grace (everything works, but warn the
// user), degraded (only the plan's fallback features work), or denied. The signed document
// contains the date of each step. The client calls Options.OnChange at each step. Client.Why
// explains the current state and what happens next. Package license has the documents and the
// rules.
//
// # Testing
//
// Package copyhold.dev/sdk/copyholdtest creates licenses for unit tests without a server. A
// test chooses the features, pools, meters, and states, and moves the clock.
//
// # Concurrency
//
// All methods are safe for concurrent use and never panic. On a nil *Client, *Feature, or
// *Lease they behave as if there were no license. A client runs one goroutine until Close is
// called or the context given to Open ends. A timer fires once a second to apply the dates.
package copyhold
