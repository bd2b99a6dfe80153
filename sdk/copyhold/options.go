package copyhold

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"copyhold.dev/sdk/license"
)

// Options say what a program is and where its license comes from. Product and RootSet
// have to be set, and at least one of Endpoints and LicenseFile.
type Options struct {
	// Endpoints are base URLs of license servers, the preferred one first. A client stays
	// with one that works and moves on when it fails.
	Endpoints []string

	// Key is the license key. When it is empty, KeyFile is read, or else the environment:
	// COPYHOLD_LICENSE_KEY, or the file that COPYHOLD_LICENSE_KEY_FILE names. A key file is
	// read again every minute, and when a server refuses the key: a secret that was rotated
	// needs no restart. A mistyped key makes Open fail; a file that can't be read does so
	// only while the cache has no license of it.
	Key     string
	KeyFile string

	// AllowNoKey lets Open succeed without a license key, and with a key file that is not
	// there yet: for a program that asks its user for the key and gives it to Client.SetKey.
	// Until then nothing is asked of a server, and the state is none.
	AllowNoKey bool

	// LicenseFile is the path of an exported license, as JSON or armored. With it, and
	// without Endpoints, no network is used at all. It is read again every minute.
	LicenseFile string

	// Product is the name of the program's product.
	Product string

	// RootSet is what the program trusts: the environment's root set as `copyhold
	// signing-key root show --to` or GET /v1/rootset gives it. Embed it in the program; what
	// is read from a file at run time can be replaced there.
	RootSet []byte

	// KeySet, when set, is a key set that is built into the program: `copyhold signing-key
	// show --to` or GET /v1/keyset gives it. No older key set is believed, so a key that
	// was withdrawn before the program was built stays withdrawn, on a first start without
	// a server too. It has to be signed by RootSet. Newer key sets replace it as usual.
	KeySet []byte

	// Issuer, when set, has to be the environment of the root set.
	Issuer string

	// CacheDir keeps what has to survive a restart; processes share it. Empty is a folder
	// for the product in the user's cache folder, "-" is no folder at all.
	CacheDir string

	// Holder says who holds leases, in place of the pod, the job or this copy of the cache
	// folder. User says it for pools that count people, in place of the account's name.
	Holder *Holder
	User   string

	// HostName is what people recognize this machine or pod by in lists of leases. Empty is
	// the host's own name, "-" sends none. It decides nothing.
	HostName string

	// Salt is the product's, for the hashes by which machines are recognized. Empty derives
	// it from the environment and the product.
	Salt []byte

	// Sealed says that the program opens sealed data: its documents then carry the keys of
	// the features that are granted, wrapped to this device, and work on no other.
	Sealed bool

	// Instance tells apart the processes of one holder; empty takes the slot of the cache
	// folder.
	Instance string

	// Version and Released describe this build. A license with maintenance covers builds
	// released before its maintenance ends. Version is cut to 200 bytes.
	Version  string
	Released time.Time

	// Service and Region say what runs and where. Every request carries them with Version
	// and Instance, so that the vendor and the customer see what depends on a license. When
	// they are empty, the environment is read: COPYHOLD_SERVICE and COPYHOLD_REGION. They
	// are cut to 200 bytes and decide nothing.
	Service string
	Region  string

	// Wait is how long Open waits for a license when the cache has none that gives full
	// function, such as with a key that it does not know: 0 is 8 seconds, negative is not at
	// all.
	Wait time.Duration

	// CloseWait is how long Close lets the refresh that Open has begun come to its end, so
	// that a program that runs for moments hears of changes too: 0 is 300 milliseconds,
	// negative is not at all. Once the document asks to be refreshed it is at least 2
	// seconds, and nothing when asking failed within the last minute.
	CloseWait time.Duration

	// OnChange is called after each change of state, one at a time and in order. It may
	// block, and it may panic; no check waits for it.
	OnChange func(Change)

	// OnLicense is called, in order with OnChange, after the client has taken up another
	// license document: also if the state is the same, such as after an upgrade. Before and after
	// are shared, so do not change them; before is nil for the first document, and after is nil
	// if there is none any more. It may block, and it may panic; no check waits for it.
	OnLicense func(before, after *license.License)

	// OnRecall is called when an administrator recalls a lease that this program has. The
	// program saves its work and releases the lease; at Recall.Until the client does it
	// for the program, and Lease.Ended is closed. It does not acquire the units again. It
	// may block, and it may panic.
	OnRecall func(Recall)

	// OnUsageRefused is called for each event that a server did not count, one at a time and
	// in order. The event is not sent again. It may block, and it may panic; no check waits
	// for it.
	OnUsageRefused func(UsageRefusal)

	// CAFile is a PEM file with certificate authorities that are trusted for the endpoints
	// besides the system's, such as a company's own. Empty reads COPYHOLD_CA_FILE. It is read
	// by Open, and can't be combined with HTTPClient.
	CAFile string

	// HTTPClient replaces the transport, for proxies and client certificates. Its timeout,
	// cookies and redirects are not used.
	HTTPClient *http.Client

	// Logger gets what is worth knowing; nil discards it. License keys are never logged.
	Logger *slog.Logger

	// SpoolLimit bounds the usage that waits to be sent, in bytes; 0 is 64 MiB. At the
	// limit Record fails with ErrSpoolFull.
	SpoolLimit int64
}

const (
	defaultSpoolLimit = 64 << 20
	noCache           = "-"
)

// ready fills in defaults and finds the key.
func (o Options) ready(getenv func(string) string) (Options, licenseKey, error) {
	if o.Product == "" {
		return o, licenseKey{}, errors.New("copyhold: no product is named")
	}
	if len(o.Endpoints) == 0 && o.LicenseFile == "" {
		return o, licenseKey{}, errors.New("copyhold: neither an endpoint nor a license file is given")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SpoolLimit <= 0 {
		o.SpoolLimit = defaultSpoolLimit
	}
	if o.Wait == 0 {
		o.Wait = foregroundTimeout
	}
	if o.CAFile == "" && o.HTTPClient == nil {
		o.CAFile = getenv("COPYHOLD_CA_FILE")
	}
	if o.CAFile != "" && o.HTTPClient != nil {
		return o, licenseKey{}, errors.New("copyhold: CAFile and HTTPClient exclude each other: give the authority to the client's transport")
	}
	if at := o.Released.Unix(); !o.Released.IsZero() && (at < 1 || at > lastDate) {
		return o, licenseKey{}, fmt.Errorf("copyhold: the release date %v does not lie between 1970 and 9999", o.Released)
	}
	o.Service = description(cmp.Or(o.Service, getenv("COPYHOLD_SERVICE")))
	o.Version = description(o.Version)
	o.Region = description(cmp.Or(o.Region, getenv("COPYHOLD_REGION")))
	if o.CloseWait == 0 {
		o.CloseWait = closeWait
	}
	key, err := o.findKey(getenv)
	if err != nil {
		return o, key, err
	}
	if key.text == "" && key.err == nil && len(o.Endpoints) > 0 && !o.AllowNoKey {
		return o, key, errors.New("copyhold: no license key is given, and neither COPYHOLD_LICENSE_KEY nor COPYHOLD_LICENSE_KEY_FILE is set")
	}
	o.CacheDir, err = o.cacheDir()
	return o, key, err
}

func (o Options) cacheDir() (string, error) {
	switch o.CacheDir {
	case noCache:
		return "", nil
	case "":
	default:
		return filepath.Abs(o.CacheDir)
	}
	if strings.ContainsAny(o.Product, `/\`) || strings.HasPrefix(o.Product, ".") {
		return "", fmt.Errorf("copyhold: %q is no product's name", o.Product)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		o.Logger.Warn("there is no cache folder: nothing survives a restart", "error", err)
		return "", nil
	}
	return filepath.Join(base, "copyhold", o.Product), nil
}

func (o Options) salt(issuer string) []byte {
	if len(o.Salt) > 0 {
		return o.Salt
	}
	sum := sha256.Sum256([]byte("copyhold/v1/salt\x00" + issuer + "\x00" + o.Product))
	return sum[:]
}

// trust is what the program believes from its start: the root set, and the key set that is
// built in, if there is one.
func (o Options) trust() (t trust, err error) {
	list, err := decodeSet("RootSet", "root set", o.RootSet)
	if err != nil {
		return t, err
	}
	issuer := o.Issuer
	if issuer == "" {
		pinned, err := license.NewAuditor(list)
		if err != nil {
			return t, fmt.Errorf("copyhold: trusting the root set: %w", err)
		}
		issuer = pinned.Issuer()
	}
	if t.verifier, err = license.NewVerifier(issuer, o.Product, list); err != nil {
		return t, fmt.Errorf("copyhold: trusting the root set: %w", err)
	}
	if len(o.KeySet) == 0 {
		return t, nil
	}
	if t.keySet, err = decodeSet("KeySet", "key set", o.KeySet); err != nil {
		return t, err
	}
	if t.verifier, err = t.verifier.WithFloor(t.keySet); err != nil {
		return t, fmt.Errorf("copyhold: trusting the key set: %w", err)
	}
	return t, nil
}

// decodeSet reads a root set or key set that an option holds.
func decodeSet(option, kind string, data []byte) ([]string, error) {
	list, err := license.DecodeSet(option, kind, data)
	if err != nil {
		return nil, fmt.Errorf("copyhold: reading the %s: %w", kind, err)
	}
	return list, nil
}
