package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/internal/config"
)

// serverFlags declares a flag for every setting of the server, and --config. A
// secret is never an argument: its flag names a file.
func serverFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "YAML file with settings (COPYHOLD_CONFIG)")
	for _, s := range config.Settings() {
		if s.Secret() {
			flags.String(s.Flag()+"-file", "", "file that holds: "+s.Usage()+" ("+s.Env()+"_FILE)")
			continue
		}
		flags.String(s.Flag(), "", s.Usage()+" ("+s.Env()+")")
	}
}

// serverConfig loads the server's settings from flags, environment and file.
func (c *cli) serverConfig(flags *pflag.FlagSet) (config.Loaded, error) {
	from := config.Sources{Flags: map[string]string{}}
	from.File, _ = flags.GetString("config")
	if from.File == "" {
		from.File = c.getenv("COPYHOLD_CONFIG")
	}
	named := map[string]string{} // variables that a flag stands for
	for _, s := range config.Settings() {
		if f := flags.Lookup(s.Flag()); !s.Secret() && f != nil && f.Changed {
			from.Flags[s.Path] = f.Value.String()
		}
		if f := flags.Lookup(s.Flag() + "-file"); s.Secret() && f != nil && f.Changed {
			named[s.Env()], named[s.Env()+"_FILE"] = "", f.Value.String()
		}
	}
	from.Getenv = func(name string) string {
		if value, ok := named[name]; ok {
			return value
		}
		return c.getenv(name)
	}
	loaded, err := config.Load(from)
	if err != nil {
		return loaded, exitf(exitUsage, "%w", err)
	}
	return loaded, nil
}

func (c *cli) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the server's settings in force, and where each comes from",
		Long: `Config prints every setting of the server with its meaning, its value and its
source, as a YAML file that copyhold serve --config accepts. Secrets are not shown.`,
		Example: "  copyhold config\n  copyhold config --config copyhold.yaml --output json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := c.serverConfig(cmd.Flags())
			if err != nil {
				return err
			}
			if c.asJSON() {
				return c.printJSON(loaded.Entries())
			}
			return loaded.Print(c.program.Stdout)
		},
	}
	serverFlags(cmd.Flags())
	return cmd
}
