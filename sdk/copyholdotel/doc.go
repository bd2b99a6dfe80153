// Package copyholdotel reports metrics and traces of a program's license with OpenTelemetry.
//
//	telemetry, err := copyholdotel.New(tracerProvider, meterProvider)
//	if err != nil {
//		return err
//	}
//	client, err := copyhold.Open(ctx, telemetry.Options(copyhold.Options{ … }))
//	if err != nil {
//		return err
//	}
//	stop, err := telemetry.Watch(client)
//	if err != nil {
//		return err
//	}
//	defer stop()
//
//	seat, err := telemetry.Acquire(ctx, client, "seats", copyhold.AcquireOptions{})
//
// Feature checks cost the same as without this package, because it does not intercept them. It
// reads their results when metrics are collected. To record a check as an event of a trace, call
// [Telemetry.Check].
//
// The metrics, with their attributes, which are few and bounded:
//
//   - copyhold.license.state (gauge): 1 for the state that the license is in, 0 for others; state
//   - copyhold.feature.enabled (gauge): 1 or 0; feature
//   - copyhold.pool.held (gauge): units that this program holds; pool
//   - copyhold.usage.unsent (gauge): recorded events that no server has yet
//   - copyhold.server.silence (gauge, seconds): time since the last signed answer
//   - copyhold.state.changes (counter): steps on the ladder; from, to, cause, and pool for a lease
//   - copyhold.recalls (counter): leases that an administrator recalled; pool
//   - copyhold.acquire.duration (histogram, seconds): duration of Acquire; pool, outcome, code
//   - copyhold.usage.recorded (counter): recorded events; meter, and kind of the error if any
//   - copyhold.usage.refused (counter): events that a server did not count; meter, code
//
// No metric contains holders, license keys, or ids. Spans contain the license's id.
package copyholdotel
