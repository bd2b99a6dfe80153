// Package signing creates, seals, rotates and uses the keys of an environment:
// its roots, the keys that sign documents, the key of the log and the keys that
// features' data is sealed to. It stores nothing and decides nothing about
// licenses; what it makes, the caller stores.
//
// Private parts rest sealed to the server's sealing key (age, X25519) and are
// opened into memory when a ring loads them.
package signing
