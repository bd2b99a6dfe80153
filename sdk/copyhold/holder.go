package copyhold

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"copyhold.dev/sdk/license"
)

// Kinds of holder, as plans name them.
const (
	KindMachine  = "machine"
	KindUser     = "user"
	KindWorkload = "workload"
)

// A Holder is who holds a lease.
type Holder struct {
	Kind string `json:"kind"` // KindMachine, KindUser or KindWorkload
	ID   string `json:"id"`   // the same each time this holder asks
	// Name is what people recognize the holder by in lists, where the id is a random text.
	// It decides nothing, and is sent with Acquire alone.
	Name string `json:"name,omitempty"`
	// Components are salted hashes by which a machine is recognized, by name.
	Components map[string]string `json:"components,omitempty"`
}

// A jobSystem runs jobs, and tells them who they are by environment variables.
type jobSystem struct {
	name string
	id   []string // all have to be set
	more []string // refine it where they are set
}

func jobSystems() []jobSystem {
	return []jobSystem{
		{"github", []string{"GITHUB_RUN_ID", "GITHUB_JOB"}, []string{"GITHUB_RUN_ATTEMPT"}},
		{"gitlab", []string{"CI_JOB_ID"}, nil},
		{"buildkite", []string{"BUILDKITE_JOB_ID"}, nil},
		{"circleci", []string{"CIRCLE_WORKFLOW_JOB_ID"}, nil},
		{"jenkins", []string{"JENKINS_URL", "BUILD_TAG"}, nil},
		{"azure", []string{"SYSTEM_JOBID"}, []string{"SYSTEM_JOBATTEMPT"}},
		{"bitbucket", []string{"BITBUCKET_STEP_UUID"}, nil},
		{"slurm", []string{"SLURM_JOB_ID"}, []string{"SLURM_CLUSTER_NAME", "SLURM_ARRAY_TASK_ID"}},
		{"pbs", []string{"PBS_JOBID"}, nil},
		{"lsf", []string{"LSB_JOBID"}, []string{"LSB_JOBINDEX"}},
		{"gridengine", []string{"SGE_TASK_ID", "JOB_ID"}, nil},
		{"awsbatch", []string{"AWS_BATCH_JOB_ID"}, []string{"AWS_BATCH_JOB_ATTEMPT"}},
	}
}

// jobID returns the identity of the CI or batch job that this process is part of, or "".
func jobID(getenv func(string) string) string {
	for _, s := range jobSystems() {
		if id := s.identify(getenv); id != "" {
			return id
		}
	}
	return ""
}

func (s jobSystem) identify(getenv func(string) string) string {
	parts := []string{s.name}
	for _, name := range s.id {
		value := getenv(name)
		if value == "" {
			return ""
		}
		parts = append(parts, value)
	}
	for _, name := range s.more {
		if value := getenv(name); value != "" {
			parts = append(parts, value)
		}
	}
	return strings.Join(parts, ":")
}

// podUID returns the UID of the Kubernetes pod that this process is part of, or "". It is
// POD_UID where the pod's specification passes metadata.uid on, or else is read from the
// mounts that the kubelet made.
func podUID(getenv func(string) string) string {
	if getenv("KUBERNETES_SERVICE_HOST") == "" {
		return ""
	}
	if uid := getenv("POD_UID"); uid != "" {
		return uid
	}
	for _, path := range []string{"/proc/self/mountinfo", "/proc/self/cgroup"} {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if uid := findPodUID(string(content)); uid != "" {
			return uid
		}
	}
	return ""
}

func findPodUID(text string) string {
	found := regexp.MustCompile(`/kubelet/pods/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/`).FindStringSubmatch(text)
	if found == nil {
		found = regexp.MustCompile(`[/-]pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})`).FindStringSubmatch(text)
	}
	if found == nil {
		return ""
	}
	return strings.ReplaceAll(found[1], "_", "-")
}

// defaultHolder says who holds what this process leases: the pod, the job, or else this
// copy of the cache folder.
func (s system) defaultHolder(instance string) Holder {
	if uid := podUID(s.getenv); uid != "" {
		return Holder{Kind: KindWorkload, ID: identifier("pod:" + uid), Name: hostName()}
	}
	if id := jobID(s.getenv); id != "" {
		return Holder{Kind: KindWorkload, ID: identifier(id)}
	}
	return Holder{Kind: KindMachine, ID: instance, Name: hostName()}
}

// unnamed returns h without its name, for requests that nobody looks at.
func unnamed(h Holder) Holder {
	h.Name = ""
	return h
}

// hostName is what people call this machine, or the pod. Empty where the system knows none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return description(name)
}

// holder says who holds for a program with these options, in pools that do not count
// people.
func (s system) holder(o Options, instance string, components map[string]string) Holder {
	h := s.defaultHolder(instance)
	switch {
	case o.Holder != nil:
		h = *o.Holder
	case o.HostName == "-":
		h.Name = ""
	case o.HostName != "" && h.Name != "":
		h.Name = description(o.HostName)
	}
	if h.Kind == KindMachine && h.Components == nil {
		h.Components = components
	}
	return h
}

// holderOf is who holds units of a pool that counts holders of a kind, where h holds in
// all others.
func (o Options) holderOf(kind string, h Holder) Holder {
	if kind != KindUser {
		return h
	}
	name := o.User
	if name == "" && h.Kind == KindMachine { // many pods and jobs share one account
		name = accountName()
	}
	if name == "" {
		return h
	}
	return Holder{Kind: KindUser, ID: identifier(name)}
}

// DefaultHolder returns who holds units of a pool that counts holders of a kind
// (KindMachine, KindUser or KindWorkload), for a program with these options that names
// nobody. So that other programs on this machine can be the same holder: with the same
// cache folder they are. Of the options it reads Product, Issuer or else RootSet, CacheDir,
// Holder, User and Salt. It asks no server, and fails when this machine would hold and the
// cache folder cannot keep its identity.
func DefaultHolder(o Options, kind string) (Holder, error) {
	return defaultHolder(o, kind, realSystem(os.Getenv))
}

func defaultHolder(o Options, kind string, sys system) (Holder, error) {
	if h := o.holderOf(kind, sys.holder(o, "", nil)); h.Kind != KindMachine {
		return h, nil // a pod, a job or a person: no machine is asked
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	issuer := o.Issuer
	if issuer == "" {
		t, err := o.trust()
		if err != nil {
			return Holder{}, err
		}
		issuer = t.verifier.Issuer()
	}
	dir, err := o.cacheDir()
	if err != nil {
		return Holder{}, err
	}
	if dir == "" {
		return Holder{}, errors.New("copyhold: without a cache folder this machine has no identity that lasts")
	}
	instance, err := instanceOf(dir)
	if err != nil {
		return Holder{}, fmt.Errorf("copyhold: keeping the identity of this machine: %w", err)
	}
	return o.holderOf(kind, sys.holder(o, instance, sys.machine().hashed(o.salt(issuer)))), nil
}

// accountName is the holder of pools that count people, unless one was named.
func accountName() string {
	u, err := user.Current()
	return accountOf(u, err, os.Getuid())
}

// accountOf names an account, or a user id that has none, as in a container that runs
// with one of its own: two ids are two people.
func accountOf(u *user.User, err error, uid int) string {
	switch {
	case err == nil && u.Username != "":
		return identifier(u.Username)
	case uid >= 0: // it is -1 on Windows
		return "uid-" + strconv.Itoa(uid)
	}
	return ""
}

// maxIdentifier bounds ids and what else describes a program, in bytes.
const maxIdentifier = 200

// identifier makes an id of what a system calls something. Spaces and control characters
// become underscores. A name that is too long, or has what no server takes, such as a byte
// that is not UTF-8 or a character that nobody sees, ends with a hash of the whole, so that
// two of them do not become one.
func identifier(name string) string {
	id, lost := legible(name)
	if !lost && len(id) <= maxIdentifier {
		return id
	}
	sum := sha256.Sum256([]byte(name))
	end := "-" + hex.EncodeToString(sum[:8])
	return cut(id, maxIdentifier-len(end)) + end
}

// description makes of what a program says about itself what a server takes.
func description(text string) string {
	text, _ = legible(text)
	return cut(text, maxIdentifier)
}

// legible replaces what no server takes, and reports whether that was more than spaces.
func legible(name string) (id string, lost bool) {
	id = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '_'
		}
		if _, found := license.Invisible(string(r)); found || unicode.IsSpace(r) {
			lost = true
			return '_'
		}
		return r
	}, name)
	return id, lost
}

// cut returns the longest beginning of s that has at most n bytes and whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// checkIdentifiers refuses ids that a program gives by itself and no server takes: one that
// is not UTF-8 would reach it as another.
func checkIdentifiers(ids map[string]string) error {
	for what, id := range ids {
		if r, found := license.Invisible(id); found {
			return fmt.Errorf("%s has U+%04X, a character that nobody sees, or a byte that is not UTF-8", what, r)
		}
	}
	return nil
}
