// Package licensing is the domain: plans, licenses, pools and meters, the
// rules that decide about them, and their errors and events.
//
// Every rule is a pure function of the terms, what is held or used, the
// request and the time. The package reads no clock, draws no random numbers
// and does no I/O, so that a server, a replay and a test reach the same decision.
// Documents and the client's ladder are in copyhold.dev/sdk/license.
package licensing
