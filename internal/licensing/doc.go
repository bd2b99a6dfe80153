// Package licensing is the domain: plans, licenses, pools and meters, the
// rules that decide about them, and the errors and events they give rise to.
//
// Every rule is a pure function of the terms, what is held or used, the
// request and the time. The package reads no clock, draws no random numbers
// and talks to nothing, so that a server, a replay and a test decide alike.
// Documents and the client's ladder are in copyhold.dev/sdk/license.
package licensing
