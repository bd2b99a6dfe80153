// Package policy reads plan files: strict YAML with the line and column of
// every fault, checks across fields, and differences between two revisions
// in words. It turns files into licensing.Plan values
// and makes no decisions. It does no I/O: files arrive as text.
package policy
