//go:build go1.25

package copyhold

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"copyhold.dev/sdk/license"
)

// A past contains files that programs of an earlier commit wrote, and the time at which they did.
// See testdata/past/README.md for its content.
type past struct {
	dir string
	at  time.Time
}

func unpackPast(t *testing.T) past {
	t.Helper()
	p := past{dir: t.TempDir()}
	archive, err := os.Open(filepath.Join("testdata", "past", "45dee72.tar.gz"))
	must(t, err)
	defer archive.Close()
	unzipped, err := gzip.NewReader(archive)
	must(t, err)
	for files := tar.NewReader(unzipped); ; {
		f, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		name := filepath.Join(p.dir, filepath.FromSlash(f.Name))
		if f.Typeflag == tar.TypeDir {
			must(t, os.MkdirAll(name, 0o700))
			continue
		}
		text, err := io.ReadAll(files)
		must(t, err)
		must(t, os.WriteFile(name, text, f.FileInfo().Mode()))
	}
	var left struct{ At time.Time }
	must(t, json.Unmarshal(p.read(t, "lists", "past.json"), &left))
	p.at = left.At
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p past) read(t *testing.T, name ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{p.dir}, name...)...))
	must(t, err)
	return text
}

// offline opens a program without a server, at the given time after the past.
func (p past) offline(t *testing.T, o Options, later time.Duration) *Client {
	t.Helper()
	start := time.Now()
	sys := system{
		now:    func() time.Time { return p.at.Add(later + time.Since(start)) },
		boot:   func() time.Duration { return time.Since(start) + time.Minute },
		bootID: "since",
		getenv: func(string) string { return "" },
		machine: func() machine {
			return machine{"board": "4c4c4544-0042", "network": "00:16:3e:01:02:03", "drive": "S1"}
		},
	}
	o.Product, o.RootSet, o.Wait = "lathe", p.read(t, "root-set.json"), -1
	o.Holder, o.User = &Holder{Kind: "workload", ID: "past"}, "ann"
	o.HTTPClient = newNetwork().client(t)
	c, err := open(t.Context(), o, sys)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Offline, a cache from an earlier commit's SDK still gives the same result: the license, the
// borrowed seat, and the unsent usage.
func TestAnEarlierCommitsCacheOpensOffline(t *testing.T) {
	for _, later := range []time.Duration{time.Minute, 10 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			p := unpackPast(t)
			cached := func(reference, cache string) *Client {
				return p.offline(t, Options{
					Endpoints: []string{"http://gone.test"}, KeyFile: filepath.Join(p.dir, "keys", reference+".key"), CacheDir: filepath.Join(p.dir, cache),
				}, later)
			}
			seat := cached("studio-away", "cache-seat")
			if !seat.State().Full() || !seat.Enabled("export") || seat.Feature("max_layers").Int() != 50 {
				t.Errorf("after %v: %s", later, seat.Why())
			}
			lease, err := seat.Acquire(t.Context(), "seats", AcquireOptions{For: 20 * 24 * time.Hour})
			must(t, err)
			if lease.State() != license.StateValid {
				t.Errorf("after %v the borrowed seat is %s", later, lease.State())
			}
			usage := cached("cloud-offline", "cache-usage")
			if !usage.State().Full() || !usage.Enabled("priority") || usage.Why().Usage != 3 {
				t.Errorf("after %v: %s", later, usage.Why())
			}
		})
	}
}

// License files of an earlier commit, in JSON and armored form, need no server and no cache.
func TestAnEarlierCommitsLicenseFileOpens(t *testing.T) {
	for file, feature := range map[string]string{"classic.license": "export", "team.license": "simulate"} {
		for _, later := range []time.Duration{time.Minute, 360 * 24 * time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				p := unpackPast(t)
				c := p.offline(t, Options{LicenseFile: filepath.Join(p.dir, file), CacheDir: "-"}, later)
				wantState(t, c, license.StateValid)
				if !c.Enabled(feature) {
					t.Errorf("%s after %v: %s", file, later, c.Why())
				}
			})
		}
	}
}
