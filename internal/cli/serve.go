package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"

	"copyhold.dev/internal/api"
	"copyhold.dev/internal/authority"
	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
)

func (c *cli) serveCommand() *cobra.Command {
	profile := target{flag: "cpu-profile", mode: forOwner}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the license server",
		Long: `Serve runs the license server until it receives SIGINT or SIGTERM. It then lets requests
in progress finish; clients in a queue keep their place. The first start creates the
environments production, staging and development with their signing keys, and writes an
owner's token to owner.token in the data folder. For a description of every setting, run
copyhold config.`,
		Example: `  copyhold serve --data /var/lib/copyhold
  copyhold serve --config /etc/copyhold.yaml --listen 127.0.0.1:7400`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			loaded, err := c.serverConfig(cmd.Flags())
			if err != nil {
				return err
			}
			c.boundMemory(loaded.Memory)
			c.collectLess(cmd.Context())
			if loaded.Postgres() {
				c.runMore()
			}
			stop, err := profileTo(profile)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, stop()) }()
			log := c.logger(loaded.Log)
			if former := loaded.Former("public_url"); former != "" {
				log.Warn("the setting for the server's own address was renamed: use public_url, COPYHOLD_PUBLIC_URL or --public-url", "found in", former)
			}
			s, err := c.startServer(cmd.Context(), loaded.Config, log, authority.FirstEnvironments())
			if err != nil {
				return err
			}
			return s.serve(cmd.Context())
		},
	}
	serverFlags(cmd.Flags())
	cmd.Flags().StringVar(&profile.name, profile.flag, "", "new file for a CPU profile of the server, for go tool pprof; complete once the server has stopped")
	return cmd
}

// profileTo starts a CPU profile, which stop writes to a file. If the target has no name,
// there is no profile.
func profileTo(file target) (stop func() error, err error) {
	if !file.given() {
		return func() error { return nil }, nil
	}
	if err := file.check(); err != nil {
		return nil, err
	}
	var profile bytes.Buffer // pprof writes the whole profile when it stops
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return nil, fmt.Errorf("starting a CPU profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.write(profile.Bytes())
	}, nil
}

// runMore lets Go use more threads than there are processors, unless the environment sets
// GOMAXPROCS. All requests wait for the database's next answer, but Go looks for network input
// only when a thread has nothing else to run. With only as many threads as processors, an
// answer would wait until the current requests are served, while the database is idle.
func (c *cli) runMore() {
	if c.getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}

// logger writes the server's log to standard error.
func (c *cli) logger(settings config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(settings.Level)) // one of four values, which Load has checked
	options := &slog.HandlerOptions{Level: level}
	if settings.Format == "json" {
		return slog.New(slog.NewJSONHandler(c.program.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(c.program.Stderr, options))
}

// ownerTokenFile is the name of the first owner's token file in the data folder.
const ownerTokenFile = "owner.token"

// A server is a deployment that listens but does not answer yet.
type server struct {
	*deployment
	settings config.Config
	log      *slog.Logger
	handler  *api.Handler
	http     *http.Server
	listener net.Listener
	metrics  *http.Server // nil without a separate listener
}

// URL returns the server's URL.
func (s *server) URL() string {
	scheme := "http"
	if s.settings.TLS.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}

// startServer opens everything that the settings name and starts to listen. In a new
// deployment it creates the first environments.
func (c *cli) startServer(ctx context.Context, settings config.Config, log *slog.Logger, first []licensing.Environment) (*server, error) {
	d, err := c.openDeployment(ctx, settings, log)
	if err != nil {
		return nil, err
	}
	s := &server{deployment: d, settings: settings, log: log}
	if err := s.begin(ctx, first); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return s, nil
}

func (s *server) begin(ctx context.Context, first []licensing.Environment) error {
	if err := s.authority.Start(ctx); err != nil {
		return err
	}
	file := filepath.Join(s.settings.Data, ownerTokenFile)
	began, err := s.authority.Bootstrap(ctx, first, authority.TokenFile(file))
	if err != nil {
		return err
	}
	if began {
		s.log.Info("created a new deployment", "owner_token", file)
	}
	if err := s.authority.Closed(); err != nil {
		s.log.Warn("refusing programs and writes", "error", err)
	}
	return s.listen(ctx)
}

// exposed is the warning if config.Exposed reports true.
const exposed = "other machines can reach this address, and license keys and tokens cross the network unencrypted: set tls.certificate and tls.key, " +
	"or set proxies if a proxy terminates TLS"

func (s *server) listen(ctx context.Context) error {
	proxies, err := s.settings.ProxyNetworks()
	if err != nil {
		return err
	}
	limits := s.settings.Limits
	s.handler, err = api.New(api.Config{
		Authority: s.authority, Metrics: s.instruments, Log: s.log, Now: time.Now,
		Version: version(), Hosts: s.settings.HostNames(), Proxies: proxies,
		Limits: api.Limits{
			InFlight: limits.InFlight, Held: limits.Held,
			BadPerAddress: float64(limits.BadPerAddress), BadPerPrefix: float64(limits.BadPerPrefix),
			PerCredential: float64(limits.PerLicense), PerToken: float64(limits.PerToken),
		},
	})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.settings.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	if s.settings.Exposed() {
		s.log.Warn(exposed, "listen", s.settings.Listen)
	}
	s.listener = api.Bound(listener, limits.Connections, limits.ConnectionsPerAddress)
	s.http = api.NewServer(s.handler, s.log)
	if s.settings.TLS.Certificate != "" {
		if s.http.TLSConfig, err = api.Certificate(s.settings.TLS.Certificate, s.settings.TLS.Key, s.log); err != nil {
			return errors.Join(fmt.Errorf("reading the certificate: %w", err), s.listener.Close())
		}
	}
	return s.listenMetrics(ctx)
}

func (s *server) listenMetrics(ctx context.Context) error {
	if s.settings.MetricsListen == "" {
		return nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.settings.MetricsListen)
	if err != nil {
		return errors.Join(fmt.Errorf("listening for metrics: %w", err), s.listener.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", api.MetricsHandler(s.instruments))
	s.metrics = api.NewServer(mux, s.log)
	go func() {
		if err := s.metrics.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics are no longer served", "error", err)
		}
	}()
	return nil
}

// serve answers requests until ctx ends or the storage fails. It then stops in order: it
// accepts no new requests, lets those in progress finish, ends background tasks, and closes
// the database.
func (s *server) serve(ctx context.Context) error {
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	tasks := make(chan struct{})
	go func() { defer close(tasks); s.authority.Run(background) }()
	served := make(chan error, 1)
	go func() { served <- s.accept() }()
	s.log.Info("serving", "url", s.URL(), "data", s.settings.Data, "engine", s.db.Engine(), "version", version())
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	case <-s.db.Fatal():
		err = fmt.Errorf("the storage failed; restart to recover what was saved: %w", s.db.FatalErr())
	}
	s.log.Info("stopping")
	s.handler.Stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.settings.Shutdown)
	defer cancel()
	if s.metrics != nil {
		err = errors.Join(err, s.metrics.Shutdown(grace))
	}
	if shutdown := s.http.Shutdown(grace); shutdown != nil {
		err = errors.Join(err, fmt.Errorf("requests were interrupted: %w", shutdown), s.http.Close())
	}
	stopBackground()
	<-tasks
	return errors.Join(err, s.Close())
}

func (s *server) accept() error {
	var err error
	if s.settings.TLS.Certificate != "" {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
