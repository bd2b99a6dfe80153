// Package copyholdotel reports how a program and its license get on, with OpenTelemetry.
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
// A check of a feature costs what it costs without this package: nothing is called there. What
// checks answer is read when metrics are collected, and Check makes a check an event of a trace
// where a program wants that.
//
// Metrics, all with few and bounded attributes:
//
//   - copyhold.license.state (gauge): 1 for the state that the license is in, 0 for others; state
//   - copyhold.feature.enabled (gauge): 1 or 0; feature
//   - copyhold.pool.held (gauge): units that this program holds; pool
//   - copyhold.usage.unsent (gauge): recorded events that no server has yet
//   - copyhold.server.silence (gauge, seconds): since the last signed answer
//   - copyhold.state.changes (counter): steps on the ladder; from, to, cause, and pool for a lease
//   - copyhold.recalls (counter): leases that an administrator asked for; pool
//   - copyhold.acquire.duration (histogram, seconds): of Acquire; pool, outcome, code
//   - copyhold.usage.recorded (counter): events of Record; meter, and kind of the error if any
//   - copyhold.usage.refused (counter): events that a server did not count; meter, code
//
// Holders, license keys and ids are in no metric. Spans have the license's id.
package copyholdotel
