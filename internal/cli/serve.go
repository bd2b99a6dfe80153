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
	"runtime/debug"
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
			c.collectLess()
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

// profileTo begins a CPU profile, which stop writes to a file. A target without a name is
// none.
func profileTo(file target) (stop func() error, err error) {
	if !file.given() {
		return func() error { return nil }, nil
	}
	if err := file.check(); err != nil {
		return nil, err
	}
	var profile bytes.Buffer // pprof writes all of it when it stops
	if err := pprof.StartCPUProfile(&profile); err != nil {
		return nil, fmt.Errorf("starting a CPU profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.write(profile.Bytes())
	}, nil
}

// gcPercent is how far the heap grows over what is live before it is collected.
// Little of a server's state is on it, so the default of 100 collects every few
// megabytes of requests.
const gcPercent = 400

// collectLess sets gcPercent unless the environment sets GOGC. GOMEMLIMIT holds
// with either: close to it Go collects as often as it takes.
func (c *cli) collectLess() {
	if c.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// runMore lets more goroutines run at once than there are processors, unless the
// environment sets GOMAXPROCS. What the database answers is the next thing that
// everybody waits for, and Go looks for it only when a thread has nothing else to
// run: with as many threads as processors it lies there until the requests at hand
// are served, while the database has nothing to do.
func (c *cli) runMore() {
	if c.getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}

// logger writes the server's log to standard error.
func (c *cli) logger(settings config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(settings.Level)) // one of four, checked when it was loaded
	options := &slog.HandlerOptions{Level: level}
	if settings.Format == "json" {
		return slog.New(slog.NewJSONHandler(c.program.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(c.program.Stderr, options))
}

// ownerTokenFile is where the first owner's token is, in the data folder.
const ownerTokenFile = "owner.token"

// A server is a running deployment that listens and does not answer yet.
type server struct {
	*deployment
	settings config.Config
	log      *slog.Logger
	handler  *api.Handler
	http     *http.Server
	listener net.Listener
	metrics  *http.Server // nil without a listener of its own
}

// URL is where the server answers.
func (s *server) URL() string {
	scheme := "http"
	if s.settings.TLS.Certificate != "" {
		scheme = "https"
	}
	return scheme + "://" + s.listener.Addr().String()
}

// startServer opens everything the settings name and listens. A new deployment
// gets its first environments.
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

// exposed warns of settings that config.Exposed is about.
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

// serve answers requests until ctx ends or the storage fails, then stops in
// order: no new requests, those in flight end, background tasks end, the
// database closes.
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
