package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"copyhold.dev/internal/config"
	"copyhold.dev/internal/licensing"
	"copyhold.dev/internal/signing"
	"copyhold.dev/internal/store"
	v1 "copyhold.dev/internal/v1"
)

// Limits for free space, in bytes.
const (
	diskLow  = 1 << 30
	diskFull = 100 << 20
)

// expiresSoon is how long before its expiry a certificate causes a warning. A certificate
// with a short lifetime causes one later.
const expiresSoon = 14 * 24 * time.Hour

// examineSettings checks everything that the server's settings refer to, without changing it.
// It returns the URL of the server on this machine, or "".
func (c *cli) examineSettings(ctx context.Context, d *doctor, settings config.Loaded) (running string) {
	d.folder(settings)
	within, cancel := context.WithTimeout(ctx, c.flags.timeout)
	defer cancel()
	found := d.database(within, settings.Config)
	d.sealing(c, settings.Config, found)
	d.certificate(settings.TLS, time.Now())
	return d.listeners(within, settings, found)
}

// folder checks the modes of the data folder and the free space. The folder need not exist
// before the first start.
func (d *doctor) folder(settings config.Loaded) {
	const check = "data folder"
	info, err := os.Stat(settings.Data)
	where := settings.Data
	switch {
	case errors.Is(err, fs.ErrNotExist):
		where = existing(settings.Data)
		if err := writable(where); err != nil && settings.Origin("data") != "default" {
			d.note(check, "failed", "%s does not exist and cannot be created: %v", settings.Data, err)
			return
		} else if err != nil { // this machine may only run clients
			d.note(check, "ok", "%s does not exist; no server has run here", settings.Data)
			return
		}
		d.note(check, "ok", "%s does not exist yet; the first start creates it", settings.Data)
	case err != nil:
		d.note(check, "failed", "%v", err)
		return
	case !info.IsDir():
		d.note(check, "failed", "%s is not a folder", settings.Data)
		return
	default:
		d.modes(settings.Data, info)
	}
	d.disk(where)
}

func (d *doctor) disk(folder string) {
	free, err := freeSpace(folder)
	switch {
	case err != nil:
		d.note("disk", "warning", "free space is unknown: %v", err)
	case free < diskFull:
		d.note("disk", "failed", "%d MiB free: the server will stop writing", free>>20)
	case free < diskLow:
		d.note("disk", "warning", "%d MiB free", free>>20)
	default:
		d.note("disk", "ok", "%.1f GiB free", float64(free)/(1<<30))
	}
}

// existing returns the nearest existing folder above path.
func existing(path string) string {
	path, err := filepath.Abs(path)
	for err == nil {
		parent := filepath.Dir(path)
		if _, err := os.Stat(parent); err == nil || parent == path {
			return parent
		}
		path = parent
	}
	return "."
}

// writable returns why no file can be created in a folder, or nil.
func writable(folder string) error {
	f, err := os.CreateTemp(folder, ".copyhold-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// modes reports a failure if other users can read the folder or anything in it.
func (d *doctor) modes(folder string, info fs.FileInfo) {
	const check = "data folder"
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 { // Windows does not use modes
		d.note(check, "failed", "%s has mode %04o, so other users can read it: run chmod 700 on it", folder, info.Mode().Perm())
		return
	}
	if err := writable(folder); err != nil {
		d.note(check, "failed", "cannot create a file in it: %v", err)
		return
	}
	d.note(check, "ok", "%s is private to its owner", folder)
}

// database checks that the database can be opened. It returns what it found there, or nil if
// that is unknown.
func (d *doctor) database(ctx context.Context, settings config.Config) *store.Examined {
	const check = "database"
	name := "PostgreSQL"
	if !settings.Postgres() {
		name = sqliteFile(settings)
	}
	found, err := examineDatabase(ctx, settings)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !settings.Postgres():
		folder := filepath.Dir(name) // the first start creates only the data folder
		if _, err := os.Stat(folder); err != nil && folder != filepath.Clean(settings.Data) {
			d.note(check, "failed", "the folder of %s does not exist: create it", name)
		} else {
			d.note(check, "ok", "%s does not exist yet; the first start creates it", name)
		}
	case err != nil:
		d.note(check, "failed", "%s: %s", name, strings.Join(strings.Fields(err.Error()), " ")) // pgx errors have several lines
		return nil
	case !found.Begun:
		d.note(check, "ok", "%s is usable and empty; the first start creates its tables", name)
	case found.Behind > 0:
		d.note(check, "ok", "%s is usable; the next start makes %s to its tables", name, licensing.Counted(int64(found.Behind), "change"))
	case found.Ahead > 0:
		d.note(check, "ok", "%s is usable; a later version of Copyhold made %s to its tables", name, licensing.Counted(int64(found.Ahead), "change"))
	default:
		d.note(check, "ok", "%s is usable", name)
	}
	return &found
}

// sealing checks that the sealing key exists and is valid; it does not create one.
func (d *doctor) sealing(c *cli, settings config.Config, database *store.Examined) {
	const check = "sealing key"
	source := c.sealingSource(settings)
	switch _, err := source.Load(false); {
	case errors.Is(err, fs.ErrNotExist) && database == nil:
		d.note(check, "warning", "%s does not exist; it is required if a server has already used the database", source.File)
	case errors.Is(err, fs.ErrNotExist) && database.Begun:
		d.note(check, "failed", "%v", lostKey(source))
	case errors.Is(err, fs.ErrNotExist):
		d.note(check, "ok", "%s does not exist yet; the first start creates it", source.File)
	case err != nil:
		d.note(check, "failed", "%v", err)
	default:
		d.note(check, "ok", "present and readable")
	}
}

// sealingKeyFile is the sealing key's name in the data folder.
const sealingKeyFile = "sealing.key"

func (c *cli) sealingSource(settings config.Config) signing.SealingSource {
	return signing.SealingSource{
		Value: signing.NewSecret(settings.Sealing.Key.Reveal()),
		File:  filepath.Join(settings.Data, sealingKeyFile),
	}
}

// certificate checks that the certificate matches the key, and when it and its chain expire.
func (d *doctor) certificate(settings config.TLS, now time.Time) {
	const check = "certificate"
	if settings.Certificate == "" {
		return
	}
	pair, err := tls.LoadX509KeyPair(settings.Certificate, settings.Key)
	if err != nil {
		d.note(check, "failed", "%v", err)
		return
	}
	var begins, ends time.Time
	for _, der := range pair.Certificate {
		link, err := x509.ParseCertificate(der)
		if err != nil {
			d.note(check, "failed", "%s: %v", settings.Certificate, err)
			return
		}
		if begins.IsZero() || link.NotBefore.After(begins) {
			begins = link.NotBefore
		}
		if ends.IsZero() || link.NotAfter.Before(ends) {
			ends = link.NotAfter
		}
	}
	end, left := ends.UTC().Format(time.RFC3339), ends.Sub(now)
	days := licensing.Counted(int64(left/(24*time.Hour)), "day")
	switch {
	case left <= 0:
		d.note(check, "failed", "%s expired at %s", settings.Certificate, end)
	case now.Before(begins):
		d.note(check, "failed", "%s is not valid before %s", settings.Certificate, begins.UTC().Format(time.RFC3339))
	case left < min(expiresSoon, ends.Sub(begins)/5):
		d.note(check, "warning", "%s expires at %s, in %s: renew it", settings.Certificate, end, days)
	default:
		d.note(check, "ok", "%s matches its key; it expires at %s, in %s", settings.Certificate, end, days)
	}
}

// listeners checks that each listen address is free, or that Copyhold answers there. It
// returns the URL of the server on this machine, or "".
func (d *doctor) listeners(ctx context.Context, settings config.Loaded, database *store.Examined) (running string) {
	base := localURL(settings.Config)
	free, answers := d.listener(ctx, "listener", settings.Listen, settings.Origin("listen"), func() bool {
		var health v1.Health
		return json.Unmarshal(fetch(ctx, base+"/healthz"), &health) == nil && health.Status == "ok"
	})
	if free != nil {
		defer free.Close() // after the other address was tried
		if database != nil && database.Begun {
			d.note("server", "warning", "no server is running here, although the database has been used: start it with copyhold serve")
		}
	}
	if settings.Exposed() {
		d.note("listener", "warning", "%s", exposed)
	}
	if settings.MetricsListen != "" {
		other, _ := d.listener(ctx, "metrics listener", settings.MetricsListen, settings.Origin("metrics_listen"), func() bool {
			return strings.Contains(string(fetch(ctx, "http://"+reachable(settings.MetricsListen)+"/metrics")), "copyhold_")
		})
		if other != nil {
			defer other.Close()
		}
	}
	if answers {
		return base
	}
	return ""
}

// listener checks a listen address. If it is free, listener returns the listener that keeps
// it free; otherwise it reports whether Copyhold answers there.
func (d *doctor) listener(ctx context.Context, check, address, origin string, answers func() bool) (free net.Listener, ours bool) {
	var listen net.ListenConfig
	free, err := listen.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		d.note(check, "ok", "%s is free; no server is running there", address)
		return free, false
	case answers():
		d.note(check, "ok", "Copyhold answers at %s", address)
		return nil, true
	case origin == "default": // this machine may only run clients
		d.note(check, "warning", "cannot listen here, and Copyhold does not answer: %v", err)
	default:
		d.note(check, "failed", "cannot listen here, and Copyhold does not answer: %v", err)
	}
	return nil, false
}

// reachable returns the address at which a program on this machine can reach a listener.
func reachable(listen string) string {
	host, port, _ := net.SplitHostPort(listen) // Load has checked it
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// fetch returns the beginning of a page on this machine if its status is 200, or else nil.
func fetch(ctx context.Context, url string) []byte {
	body, status, err := askLocal(ctx, url)
	if err != nil || status != http.StatusOK {
		return nil
	}
	return body
}
