// Package copyhold tells a program what its license allows. It verifies signed documents,
// keeps them in a cache folder, and goes on when no license server can be reached.
//
//	client, err := copyhold.Open(ctx, copyhold.Options{
//		Endpoints: []string{"https://licenses.example.com"},
//		KeyFile:   "/etc/lathe/license.key",
//		Product:   "lathe",
//		RootSet:   rootSet, // with go:embed; it is what the program trusts
//	})
//	if err != nil {
//		return err // the options are wrong; a server that is away is no error
//	}
//	defer client.Close()
//
// # Three things to ask
//
// A feature is something that the license switches on, or a value in it. A check reads
// memory, costs nanoseconds and never waits:
//
//	export := client.Feature("export") // once
//	if export.Enabled() { … }
//
// A pool is counted and given back, such as seats or machines. Acquire takes units of it for
// this program, and the client renews them until they are released:
//
//	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{Wait: time.Minute})
//	if err != nil { … }
//	defer seat.Release(ctx)
//
// A meter is counted and used up, such as calls. Record writes to a file in the cache folder
// and returns; the client sends it later:
//
//	err := client.Record("calls", 1)
//
// # Denied or unavailable
//
// Only a signed statement takes something away. So there are two ways not to get units, and
// they ask for different things:
//
//	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{})
//	switch {
//	case errors.Is(err, copyhold.ErrDenied):
//		// The license says no. Show err: it says why and by when a unit is free.
//	case errors.Is(err, copyhold.ErrUnavailable):
//		// Nobody said no. Decide by what a wrong answer costs, see below.
//	}
//
// What to do when no server answers an Acquire is the one decision that the client leaves to
// the program:
//
//   - An interactive program lets its user go on while client.State().Full() is true, and
//     tries again in the background: the license is good, only the count is missing.
//   - A batch job or a build waits and tries again, with AcquireOptions.Wait once a server
//     answers. A job that is running is never stopped for this.
//   - A program that must not run more often than was bought stops here. Let it acquire its
//     units ahead of time: a lease that is held survives an outage by its own grace, and one
//     that was borrowed (AcquireOptions.For) needs no server until it ends.
//
// Reading and saving the user's own data, health checks and shutdown wait for no license.
//
// # States
//
// A license is valid, stale (a refresh is overdue), in grace (everything works, and the user
// should be warned), degraded (only the plan's fallback features) or denied. The dates of all
// steps are in the signed document. Options.OnChange is called at each step, and Client.Why
// explains where the license stands and what comes next. Package license has the documents
// and the rules.
//
// # In tests
//
// Package copyhold.dev/sdk/copyholdtest makes a license for unit tests, with features, pools,
// meters, states and a clock, and without a server.
//
// # Concurrency
//
// All methods are safe for concurrent use, never panic, and work on a nil *Client, *Feature
// or *Lease as if there were no license. A client runs one goroutine until Close is called or
// the context given to Open ends, and a timer fires once a second to apply the dates.
package copyhold
