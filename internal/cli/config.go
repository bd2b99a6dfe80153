package cli

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/internal/config"
	"copyhold.dev/internal/signing"
)

// serverFlags declares a flag for every setting of the server, or only for those
// named, and --config. A secret is never an argument: its flag names a file.
func serverFlags(flags *pflag.FlagSet, only ...string) {
	flags.String("config", "", "YAML file with settings (COPYHOLD_CONFIG)")
	for _, s := range config.Settings() {
		if len(only) > 0 && !slices.Contains(only, s.Path) {
			continue
		}
		name, usage := settingFlag(s), s.Usage()+" ("+s.Env()+")"
		if s.Secret() {
			usage = "file that holds: " + s.Usage() + " (" + s.Env() + "_FILE)"
		}
		flags.String(name, "", usage)
		_ = flags.SetAnnotation(name, ofServer, nil) // fails only for a flag that does not exist
	}
}

// ofServer marks the flags that are settings of the server: --url is also one of those
// that every command has, and means another thing there.
const ofServer = "server"

func settingFlag(s config.Setting) string {
	if s.Secret() {
		return s.Flag() + "-file"
	}
	return s.Flag()
}

func isOfServer(f *pflag.Flag) bool {
	_, ok := f.Annotations[ofServer]
	return ok
}

// serverConfig loads the server's settings from flags, environment and file: of the
// environment only those that the command has flags for.
func (c *cli) serverConfig(flags *pflag.FlagSet) (config.Loaded, error) {
	from := config.Sources{Flags: map[string]string{}}
	from.File, _ = flags.GetString("config")
	if from.File == "" {
		from.File = c.getenv("COPYHOLD_CONFIG")
	}
	named := map[string]string{} // variables that a flag stands for
	for _, s := range config.Settings() {
		f := flags.Lookup(settingFlag(s))
		switch {
		case f == nil || !isOfServer(f):
			named[s.Env()], named[s.Env()+"_FILE"] = "", ""
		case f.Changed && s.Secret():
			named[s.Env()], named[s.Env()+"_FILE"] = "", f.Value.String()
		case f.Changed:
			from.Flags[s.Path] = f.Value.String()
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
	if key := loaded.Sealing.Key.Reveal(); key != "" {
		if _, err := signing.ParseSealingKey(signing.NewSecret(key)); err != nil {
			return loaded, exitf(exitUsage, "sealing.key (from %s): %w", loaded.Origin("sealing.key"), err)
		}
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
