// Package client sends requests to the servers of one deployment over HTTP, for people and
// scripts that administer it and for programs that use a license key without the SDK.
//
//   - settings.go finds the address, the credential and the pinned root set in flags, environment and
//     profile; file.go and certificate.go read the files that those name.
//   - client.go sends one request, after text.go has checked it, and reads the answer; endpoint.go
//     tries the next server when one fails.
//   - error.go distinguishes "no", "wrong" and "try again"; each kind is an exit status.
//   - trust.go accepts a denial only if it is signed; decision.go writes decisions for people.
//
// A Client is safe for concurrent use. It sends a secret only to the address in the settings
// and does not follow redirects.
package client
