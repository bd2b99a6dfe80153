// Package cli is the command line: a file for each command, and the only place where
// the parts of the server are wired together. Client commands speak HTTP to a
// server and never open its database; only serve, demo, backup, restore, repair, clock and
// doctor touch a data folder. Secrets come from files and the environment, never
// from an argument, because arguments are visible to every user of the machine.
//
//   - cli.go has the commands and their common flags; exit.go has the exit statuses and reports errors.
//   - connect.go makes a client of internal/client, and seat_flags.go a request for internal/seat.
//   - list.go and output.go print what servers answer; flag.go and typed.go read what people type,
//     and file.go and input.go their files.
//   - serve.go and deployment.go wire the server; config.go loads its settings.
//   - demo.go and example.go set up and show the demo.
package cli
