// Package audit contains the rules of the log: how an event becomes an entry, how
// entries become one Merkle tree for each environment, how its head is signed,
// and how anyone can verify and prove all of it without trusting the server.
//
// Hashes are those of RFC 6962, heads are C2SP checkpoints (tlog-checkpoint,
// signed-note), proofs are C2SP tlog-proof. The package does no I/O, reads no
// clock and draws no random bytes: rows, tiles, times and salts are arguments.
package audit
