// Package signing creates, seals, rotates and uses the keys of an environment:
// its root keys, the keys that sign documents, the key of the log and the keys to which the
// data of features is sealed. It stores nothing and decides nothing about
// licenses. The caller stores the results.
//
// Private parts rest sealed to the server's sealing key (age, X25519) and are
// opened into memory when a ring loads them.
package signing
