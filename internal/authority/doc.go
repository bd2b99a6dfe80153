// Package authority is the only code that changes licensing state. Authority offers its rooms to
// the API and the command line. It knows nothing about HTTP.
//
// Each room is a package. A room may import only the rooms below it:
//
//   - recovery makes and reads backups, repairs counters and sets a clock back.
//   - granting decides leases, queues and usage in batches.
//   - documents signs licenses, replies and revocations; credentials identifies callers; keys
//     manages signing keys and root sets.
//   - catalog manages products, plans, customers, environments and licenses.
//   - ledger keeps the record: transactions, the log, clocks and fences.
//   - request contains what all requests share: ids, permissions and pages of a list.
//
// Code that needs several rooms is in this package. authority.go connects the rooms. start.go,
// ready.go and bootstrap.go handle startup. status.go, measure.go, lease_list.go, usage_list.go and
// log.go report. why.go and why_id.go explain.
package authority
