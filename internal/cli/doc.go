// Package cli is the command line, with one file for each command. It is also the only place
// that wires the parts of the server together. Client commands send HTTP requests to a server
// and never open its database; only serve, demo, restore, repair, clock and doctor use a data
// folder. Secrets come from files and the environment, never from arguments, because every
// user of the machine can see arguments.
//
//   - cli.go has the commands and their common flags; exit.go has the exit statuses and reports errors.
//   - connect.go creates a client of internal/client, and seat_flags.go a request for internal/seat.
//   - list.go and output.go print the answers of servers; flag.go and typed.go parse flags and
//     arguments, and file.go and input.go handle files.
//   - serve.go and deployment.go wire the server; config.go loads its settings.
//   - demo.go and example.go set up and print the demo.
package cli
