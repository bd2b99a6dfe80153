// Package copyhold asks a Copyhold server what a license allows, and goes on without one.
//
// A check reads memory: it never waits for the network, never panics and can say why.
// What allows and what denies is always a signed statement, verified up to the root set
// that the program was built with: an error page, a refused connection, a wrong status or
// a server that answers 200 to everything are failures of infrastructure, and the program
// carries on by the dates in the document that it holds. The cache folder makes that work
// across restarts, and without any network.
//
//	client, err := copyhold.Open(ctx, copyhold.Options{
//		Endpoints: []string{"https://licenses.example.com"},
//		KeyFile:   "/etc/lathe/license.key",
//		Product:   "lathe",
//		RootSet:   rootSet, // go:embed
//	})
//	if err != nil {
//		return err // the options are wrong; a server that is away is no error
//	}
//	defer client.Close()
//
//	export := client.Feature("export")
//	if export.Enabled() { … }
//
//	seat, err := client.Acquire(ctx, "seats", copyhold.AcquireOptions{Wait: time.Minute})
//
// A client runs one goroutine, for as long as the context given to Open lives and until
// Close. Besides it a timer of the runtime fires once a second, to move along the ladder
// (see package license) and to call OnChange.
//
// All methods are safe for concurrent use, and those of a nil *Client, *Feature and
// *Lease answer as without a license.
package copyhold
