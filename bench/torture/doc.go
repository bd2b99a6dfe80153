// Package torture tests the real program under the faults of the real world: the tests kill
// it, cut its power, and race it, and everything that it acknowledged must remain true. The
// package contains only tests. `make test` runs a short version, and `make torture` runs the
// long one.
package torture
