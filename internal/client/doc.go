// Package client asks the servers of one deployment over HTTP, for people and scripts that
// administer it and for programs that hold a license key but don't use the SDK.
//
//   - settings.go finds the address, the credential and the pinned root set: flags, environment, profile;
//     file.go and certificate.go read the files that they name.
//   - client.go sends one request, which text.go has looked at, and reads its answer; endpoint.go asks the next server when one fails.
//   - error.go keeps "no", "wrong" and "try again" apart; each kind is an exit status.
//   - trust.go believes a denial only if it is signed; decision.go writes decisions for people.
//
// A Client is safe for concurrent use. What a secret is sent to is only the address that the
// settings name: redirects are not followed.
package client
