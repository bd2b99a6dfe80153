// Gateway is an HTTP service that a license gates: each request needs the feature api, and the
// meter calls counts it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"copyhold.dev/sdk/copyhold"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, os.Args[1:], log); err != nil && !errors.Is(err, flag.ErrHelp) {
		log.Error("the gateway failed", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, log *slog.Logger) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:7500", "address to listen on")
	url := flags.String("url", cmp.Or(os.Getenv("COPYHOLD_URL"), "http://127.0.0.1:7400"), "license server, or comma-separated servers; default: COPYHOLD_URL, if set")
	key := flags.String("key", ".copyhold/keys/cloud.key", "file with the license key")
	root := flags.String("root", ".copyhold/root-set.json", "root set of the vendor; a real program embeds it")
	cache := flags.String("cache", "", "folder for data to keep across restarts; - for none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	trusted, err := os.ReadFile(*root)
	if err != nil {
		return err
	}
	client, err := copyhold.Open(ctx, copyhold.Options{
		Endpoints: strings.Split(*url, ","), KeyFile: *key, Product: "lathe", RootSet: trusted, CacheDir: *cache, Logger: log,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	return serve(ctx, *listen, handler(client), log)
}

// handler gates only what is sold with the license, and nothing else.
func handler(client *copyhold.Client) http.Handler {
	mux := http.NewServeMux()
	convert := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, strings.ToUpper(r.FormValue("text")))
	})
	mux.Handle("GET /convert", client.Require("api", client.Metered("calls", convert)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /license", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, client.Why()) })
	return mux
}

func serve(ctx context.Context, listen string, h http.Handler, log *slog.Logger) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Info("the gateway is running", "address", listener.Addr().String())
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() {
		within, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(within); err != nil {
			log.Warn("requests were interrupted", "error", err)
		}
	})
	defer stopped()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
