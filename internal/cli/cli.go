package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
)

// A Program is the arguments, streams and environment that a process passes to its commands.
type Program struct {
	Args    []string // Args[0] is the name of the program
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Environ []string // KEY=value, in the form of os.Environ
	process bool     // the program is this whole process
}

// OS is the Program of this process.
func OS() Program {
	return Program{Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Environ: os.Environ(), process: true}
}

// Main runs the command in p.Args and returns the process's exit status.
func Main(p Program) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p.process {
		environ, err := hideSecrets(p)
		if err != nil {
			fmt.Fprintf(p.Stderr, "copyhold: %v\n", err)
			return exitFailed
		}
		p.Environ = environ
	}
	c := &cli{program: p, http: &http.Client{}}
	root := c.rootCommand()
	root.SetArgs(p.Args[1:])
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = c.noHelp
	}
	return c.report(err)
}

// Manual returns every command with its help, for generating pages. The commands cannot be
// run.
func Manual() *cobra.Command { return new(cli).rootCommand() }

// cli is one run of the program: its streams, its common flags and the settings resolved
// from them.
type cli struct {
	program Program
	http    *http.Client
	flags   commonFlags
	command *cobra.Command // the running command; nil before it starts
	noHelp  error          // set if help was requested for a command that does not exist
}

// commonFlags are the flags that every command accepts.
type commonFlags struct {
	client.Flags
	output  string
	timeout time.Duration
}

func (c *cli) getenv(name string) string {
	value, _ := lookup(c.program.Environ, name)
	return value
}

// lookup returns the last value of a variable in environ.
func lookup(environ []string, name string) (string, bool) {
	for _, entry := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "copyhold",
		Short: "Software licensing: plans, signed licenses, seats and usage",
		Long: `Copyhold issues signed licenses from plan files, counts seats and usage, and keeps a
log that proves what happened.

Exit status:
  0   done
  1   failed
  2   invalid command, settings or request
  3   denied by a license
  4   a document, a backup or the log is forged or damaged
  5   a document was not signed by a key that the root set vouches for
  6   a document was signed with a withdrawn key
  10  plan diff: something changes, and no license loses
  11  plan diff: at least one license loses
  75  unavailable; try again (never a denial)`,
		Example: `  copyhold version
  source <(copyhold completion bash)`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE:          showGroup,
		CompletionOptions: cobra.CompletionOptions{
			DisableDefaultCmd: true,
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			c.command = cmd
			return c.checkFlags(cmd)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, "%v", err) })
	flags := root.PersistentFlags()
	flags.StringVar(&c.flags.URL, "url", "", "server, for example http://127.0.0.1:7400, or comma-separated servers of one deployment, tried in order (COPYHOLD_URL)")
	flags.StringVar(&c.flags.TokenFile, "token-file", "", "file with an administrator's token (COPYHOLD_TOKEN_FILE)")
	flags.StringVar(&c.flags.KeyFile, "key-file", "", "file with a license key (COPYHOLD_LICENSE_KEY_FILE)")
	flags.StringVar(&c.flags.RootSet, "root-set", "", "file with the pinned root set (COPYHOLD_ROOT_SET_FILE)")
	flags.StringVar(&c.flags.CA, "ca", "", "PEM file with certificate authorities to trust in addition to the system's (COPYHOLD_CA_FILE)")
	flags.StringVar(&c.flags.Environment, "environment", "", "environment to use with a token (COPYHOLD_ENVIRONMENT)")
	flags.StringVar(&c.flags.Profile, "profile", "", "profile of settings to use from the profile file (COPYHOLD_PROFILE)")
	flags.StringVarP(&c.flags.output, "output", "o", "table", "output format: table or json")
	flags.DurationVar(&c.flags.timeout, "timeout", 30*time.Second, "how long to wait for a server to answer")
	root.AddCommand(c.commands()...)
	c.setHelp(root)
	return root
}

// commands lists every command in the order in which help shows them.
func (c *cli) commands() []*cobra.Command {
	return []*cobra.Command{
		c.demoCommand(), c.serveCommand(),
		c.planCommand(), c.licenseCommand(), c.leaseCommand(), c.usageCommand(), c.checkCommand(), c.verifyCommand(), c.whyCommand(),
		c.runCommand(),
		c.keeperCommand(),
		c.productCommand(), c.customerCommand(), c.environmentCommand(), c.tokenCommand(), c.signingKeyCommand(), c.sealingKeyCommand(), c.jobCommand(), c.auditCommand(),
		c.statusCommand(), c.backupCommand(), c.restoreCommand(), c.fenceCommand(), c.repairCommand(), c.clockCommand(), c.doctorCommand(), c.healthCommand(), c.configCommand(), c.benchCommand(),
		c.versionCommand(),
		c.completionCommand(),
	}
}

// version returns the module's version, as recorded by the toolchain.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
