// Package policy reads plan files: strict YAML with the line and column of
// every fault, checks beyond what a file can say alone, and differences
// between two revisions in words. It turns files into licensing.Plan values
// and decides nothing itself. It does no I/O: files arrive as text.
package policy
