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

// Options describe a program and the source of its license. Set Product, RootSet, and at least one
// of Endpoints and LicenseFile.
type Options struct {
	// Endpoints are the base URLs of license servers, the preferred one first. The client stays
	// with a server that works and switches to another when it fails.
	Endpoints []string

	// Key is the license key. If it is empty, KeyFile is read. If that is empty, too, the
	// environment is read: COPYHOLD_LICENSE_KEY, or the file that COPYHOLD_LICENSE_KEY_FILE names.
	// The client reads a key file again every minute and whenever a server refuses the key, so a
	// rotated secret needs no restart. A mistyped key makes Open fail. A file that can't be read
	// makes Open fail only if the cache has no license that was fetched with it.
	Key     string
	KeyFile string

	// AllowNoKey lets Open succeed without a license key, or with a key file that does not exist
	// yet. It is for a program that asks its user for the key and passes it to Client.SetKey. Until
	// then the client asks no server, and the state is none.
	AllowNoKey bool

	// LicenseFile is the path of an exported license, in JSON or armored form. With it and without
	// Endpoints, the client uses no network. It reads the file again every minute.
	LicenseFile string

	// Product is the name of the program's product.
	Product string

	// RootSet is the environment's root set, which the program trusts. Get it from `copyhold
	// signing-key root show --to` or GET /v1/rootset. Embed it in the program: anyone who can
	// replace a file that the program reads at run time can replace the trust with it.
	RootSet []byte

	// KeySet is an optional key set that is built into the program. Get it from `copyhold
	// signing-key show --to` or GET /v1/keyset. The client believes no older key set, so a key that
	// was withdrawn before the program was built stays withdrawn, even on a first start without a
	// server. RootSet must have signed it. Newer key sets replace it as usual.
	KeySet []byte

	// Issuer is optional. If it is set, it must be the environment of the root set.
	Issuer string

	// CacheDir is the folder for data that must survive a restart. Processes can share it. Empty
	// means a folder for the product in the user's cache folder; "-" means no folder.
	CacheDir string

	// Holder is the holder of leases. It overrides the default: the pod, the job, or this copy of
	// the cache folder. User overrides the account name in pools that count people.
	Holder *Holder
	User   string

	// HostName is the name by which people recognize this machine or pod in lists of leases. Empty
	// means the host's own name; "-" sends none. It decides nothing.
	HostName string

	// Salt is the product's salt for the hashes that identify machines. If it is empty, the client
	// derives it from the environment and the product.
	Salt []byte

	// Sealed means that the program opens sealed data. Its documents then contain the keys of the
	// granted features, wrapped for this device, and work on no other device.
	Sealed bool

	// Instance distinguishes the processes of one holder. Empty means the process's slot in the
	// cache folder.
	Instance string

	// Version and Released describe this build. A license with maintenance covers builds that were
	// released before its maintenance ends. Version is cut to 200 bytes.
	Version  string
	Released time.Time

	// Service and Region describe what runs and where. Every request carries them, together with
	// Version and Instance, so that the vendor and the customer see what depends on a license. If
	// they are empty, the client reads COPYHOLD_SERVICE and COPYHOLD_REGION. They are cut to 200
	// bytes and decide nothing.
	Service string
	Region  string

	// Wait is how long Open waits for a license if the cache has none with full function, for
	// example because the key is new. 0 means 8 seconds; a negative value means no wait.
	Wait time.Duration

	// CloseWait is how long Close waits for the refresh that Open started, so that even a program
	// that runs only for a moment learns of changes. 0 means 300 milliseconds; a negative value
	// means no wait. Once the document is due for a refresh, Close waits at least 2 seconds. It
	// does not wait if a request failed within the last minute.
	CloseWait time.Duration

	// OnChange is called after each change of state, one call at a time and in order. It may block,
	// and it may panic; no check waits for it.
	OnChange func(Change)

	// OnLicense is called, in order with OnChange, after the client has switched to another license
	// document, even if the state is the same, for example after an upgrade. Before and after are
	// shared, so do not change them. Before is nil for the first document. After is nil if there is
	// no license any more. OnLicense may block, and it may panic; no check waits for it.
	OnLicense func(before, after *license.License)

	// OnRecall is called when an administrator recalls a lease of this program. The program should
	// save its work and release the lease. If it has not done so by Recall.Until, the client
	// releases the lease and closes the channel of Lease.Ended. The client does not acquire the
	// units again. OnRecall may block, and it may panic.
	OnRecall func(Recall)

	// OnUsageRefused is called for each event that a server did not count, one call at a time and
	// in order. The event is not sent again. OnUsageRefused may block, and it may panic; no check
	// waits for it.
	OnUsageRefused func(UsageRefusal)

	// CAFile is a PEM file of certificate authorities that the client trusts for the endpoints in
	// addition to the system's, such as a company's own. If it is empty, the client reads
	// COPYHOLD_CA_FILE. Open reads the file. CAFile can't be combined with HTTPClient.
	CAFile string

	// HTTPClient replaces the transport, for proxies and client certificates. The client ignores
	// its timeout, cookies, and redirects.
	HTTPClient *http.Client

	// Logger receives log messages; nil discards them. License keys are never logged.
	Logger *slog.Logger

	// SpoolLimit limits unsent usage, in bytes; 0 means 64 MiB. At the limit, Record fails with
	// ErrSpoolFull.
	SpoolLimit int64
}

const (
	defaultSpoolLimit = 64 << 20
	noCache           = "-"
)

// ready fills in the defaults and finds the key.
func (o Options) ready(getenv func(string) string) (Options, licenseKey, error) {
	if o.Product == "" {
		return o, licenseKey{}, errors.New("copyhold: no product is set; set Product")
	}
	if len(o.Endpoints) == 0 && o.LicenseFile == "" {
		return o, licenseKey{}, errors.New("copyhold: no server and no license file is set; set Endpoints, LicenseFile, or both")
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
		return o, licenseKey{}, errors.New("copyhold: CAFile and HTTPClient exclude each other; add the authority to HTTPClient's transport instead")
	}
	if at := o.Released.Unix(); !o.Released.IsZero() && (at < 1 || at > lastDate) {
		return o, licenseKey{}, fmt.Errorf("copyhold: the release date %v is not between 1970 and 9999", o.Released)
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
		return o, key, errors.New("copyhold: no license key is set; set Key, KeyFile, COPYHOLD_LICENSE_KEY, or COPYHOLD_LICENSE_KEY_FILE")
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
		return "", fmt.Errorf("copyhold: %q is not a valid product name", o.Product)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		o.Logger.Warn("there is no cache folder; nothing survives a restart", "error", err)
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

// trust returns what the program trusts from the start: the root set and the built-in key set, if
// there is one.
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

// decodeSet decodes the root set or key set in an option.
func decodeSet(option, kind string, data []byte) ([]string, error) {
	list, err := license.DecodeSet(option, kind, data)
	if err != nil {
		return nil, fmt.Errorf("copyhold: reading the %s: %w", kind, err)
	}
	return list, nil
}
