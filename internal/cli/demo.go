package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/client"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
)

func (c *cli) demoCommand() *cobra.Command {
	var listen, data string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a server with a working example, and print commands to try",
		Long: `Demo runs the license server with an example: a product whose plans show every
licensing model, a customer, and a license for each plan. It creates the example through
its own API, keeps its data in a folder, and prints license keys and commands to try.
Stop it with Ctrl-C. The next run continues with the same data.`,
		Example: "  copyhold demo\n  copyhold demo --listen 127.0.0.1:8400 --data /tmp/copyhold-demo",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := config.Load(config.Sources{Flags: map[string]string{
				"data": data, "listen": listen, "log.level": "warn",
			}})
			if err != nil {
				return exitf(exitUsage, "%w", err)
			}
			return c.demo(cmd.Context(), loaded.Config)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:7400", "address to listen on; port 0 picks a free port")
	cmd.Flags().StringVar(&data, "data", ".copyhold", "folder for the demo's data")
	return cmd
}

// demo starts a server, sets up the example through the API, and prints commands to try.
func (c *cli) demo(ctx context.Context, settings config.Config) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := c.startServer(ctx, settings, c.logger(settings.Log), demoEnvironments())
	if err != nil {
		return err
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.serve(ctx) }()
	if err := c.showDemo(ctx, s, settings.Data); err != nil {
		stop()
		return errors.Join(err, <-stopped)
	}
	err = <-stopped
	if !c.asJSON() {
		c.printf("\nstopped; the data is kept in %s\n", settings.Data)
	}
	return err
}

// demoEnvironment contains the example. It is a development environment, which accepts the
// short times of the plan fast without a warning.
const demoEnvironment = "development"

func demoEnvironments() []licensing.Environment {
	return []licensing.Environment{{Name: demoEnvironment, Kind: licensing.Development}}
}

func (c *cli) showDemo(ctx context.Context, s *server, data string) error {
	owner, err := os.ReadFile(filepath.Join(data, ownerTokenFile))
	if err != nil {
		return fmt.Errorf("reading the owner's token: %w", err)
	}
	e := &example{folder: data, client: client.New(c.http, client.Settings{
		Endpoints:   client.At(s.URL()),
		Environment: client.Setting[string]{Value: demoEnvironment, Source: "demo"},
		Token:       client.Setting[client.Secret]{Value: client.Secret(strings.TrimSpace(string(owner))), Source: "demo"},
	}, 0)}
	if err := e.setUp(ctx); err != nil {
		return fmt.Errorf("setting up the example: %w", err)
	}
	if c.asJSON() {
		return c.printJSON(map[string]any{"url": s.URL(), "data": data, "token_file": e.tokenFile(), "root_set_file": e.rootSetFile(), "licenses": e.licenses})
	}
	c.printExample(e, s.URL())
	return nil
}
