// Package seat takes a seat of a pool with a license key, renews it while a command runs, and
// gives it back, however the command or this program ends.
//
//   - seat.go is one seat and its requests: Acquire, Renew, Release; identity.go finds out who holds it.
//   - run.go starts the command and the keeper, a process of its own that survives a kill of this one.
//   - keep.go is the keeper: it holds the seat and obeys the orders on its standard input.
//   - recall.go hears of recalls and waits for the end that they name.
//   - process_*.go is what systems differ in: signals, sessions, whether a process lives.
//
// A command that has started is never stopped because of its seat.
package seat
