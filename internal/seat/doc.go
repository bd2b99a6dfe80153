// Package seat takes a seat from a pool with a license key, renews it while a command runs,
// and releases it, however the command or this program ends.
//
//   - seat.go is one seat and its requests: Acquire, Renew, Release; identity.go finds its holder.
//   - run.go starts the command and the keeper, a separate process that survives if this one is killed.
//   - keep.go is the keeper: it holds the seat and follows the orders on its standard input.
//   - recall.go listens for recalls and waits until the time that they name.
//   - process_*.go contains what differs between systems: signals, sessions, whether a process is alive.
//
// A command that has started is never stopped because of its seat.
package seat
