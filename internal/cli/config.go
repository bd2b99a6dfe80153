package cli

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"copyhold.dev/internal/config"
	"copyhold.dev/internal/signing"
)

// serverFlags declares --config and a flag for every server setting, or only for the settings
// in only. A secret is never an argument: its flag names a file.
func serverFlags(flags *pflag.FlagSet, only ...string) {
	flags.String("config", "", "YAML file with settings (COPYHOLD_CONFIG)")
	for _, s := range config.Settings() {
		if len(only) > 0 && !slices.Contains(only, s.Path) {
			continue
		}
		name, usage := s.Flag(), s.Usage()+" ("+s.Env()+")"
		if s.Secret() {
			usage = s.Usage() + "; read from this file (" + s.Env() + "_FILE)"
		}
		flags.String(name, "", usage)
	}
}

// publicURL is the flag that replaced the server's --url, which is now only for clients.
const publicURL = "public-url"

// serverConfig loads the server's settings from flags, environment and file. From the
// environment it takes only the settings that the command has flags for.
func (c *cli) serverConfig(flags *pflag.FlagSet) (config.Loaded, error) {
	from := config.Sources{Flags: map[string]string{}}
	from.File, _ = flags.GetString("config")
	if from.File == "" {
		from.File = c.getenv("COPYHOLD_CONFIG")
	}
	named := map[string]string{} // variables of the command's flags
	for _, s := range config.Settings() {
		f := flags.Lookup(s.Flag())
		if f != nil && f.Changed {
			from.Flags[s.Path] = f.Value.String()
		}
		if f == nil || f.Changed {
			named[s.Env()], named[s.Env()+"_FILE"] = "", ""
		}
	}
	if flags.Lookup(publicURL) == nil {
		named["COPYHOLD_URL"] = ""
	} else if c.flags.URL != "" {
		from.Flags["url"] = c.flags.URL
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
		Short: "Print the server's current settings and the source of each",
		Long: `Config prints every server setting with its description, value and source, as a YAML
file that copyhold serve --config accepts. Secrets are not shown.`,
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
