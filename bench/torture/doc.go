// Package torture holds the tests that treat Copyhold as the world does: the real
// program is killed, loses its power and is raced, and what it had said has to
// stay true. It has no code of its own; `make test` runs a short form and `make
// torture` the long one.
package torture
