// Package authority is the only code that changes licensing state. Authority is the face of its
// rooms for the API and the command line; it knows nothing of HTTP.
//
// The rooms, each a package that may import those below it:
//
//   - recovery makes and reads backups, repairs counters and sets a clock back.
//   - granting decides leases, queues and usage in batches.
//   - documents signs licenses, answers and revocations; credentials knows who asks; keys holds
//     signing keys and root sets.
//   - catalog is what is sold: products, plans, customers, environments and licenses.
//   - ledger keeps the record: transactions, the log, clocks and fences.
//   - request has what every request shares: its id, its permission, pages of a list.
//
// What needs several rooms is here: authority.go puts them together; start.go, ready.go and
// bootstrap.go begin; status.go, measure.go, lease_list.go, usage_list.go and log.go report; why.go and
// why_id.go explain.
package authority
