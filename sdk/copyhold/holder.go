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

// A Holder identifies the machine, user, or workload that holds a lease.
type Holder struct {
	Kind string `json:"kind"` // KindMachine, KindUser or KindWorkload
	ID   string `json:"id"`   // stays the same from request to request
	// Name is the name that people recognize in lists if the id is random. It decides nothing and
	// is sent only with Acquire.
	Name string `json:"name,omitempty"`
	// Components are salted hashes, by component name, that identify a machine.
	Components map[string]string `json:"components,omitempty"`
}

// A jobSystem runs jobs and identifies each job by environment variables.
type jobSystem struct {
	name string
	id   []string // all must be set
	more []string // added to the id if they are set
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

// podUID returns the UID of the Kubernetes pod that this process is part of, or "". It uses POD_UID
// if the pod's specification passes metadata.uid. Otherwise it reads the UID from the mounts that
// the kubelet made.
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

// defaultHolder returns the holder of the leases of this process: the pod, the job, or else this
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

// unnamed returns h without its name, for requests that no person sees.
func unnamed(h Holder) Holder {
	h.Name = ""
	return h
}

// hostName returns the usual name of this machine or pod, or "" if the system has none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return description(name)
}

// holder returns the holder for a program with these options, in pools that do not count people.
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

// holderOf returns the holder in a pool that counts holders of the given kind. The argument h is
// the holder in all other pools.
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

// DefaultHolder returns the holder that a program with these options uses by default in a pool that
// counts holders of the given kind (KindMachine, KindUser, or KindWorkload). Other programs on this
// machine can then be the same holder; with the same cache folder they are. It reads these options:
// Product, Issuer or else RootSet, CacheDir, Holder, User, and Salt. It asks no server. It fails if
// the holder is this machine and the cache folder cannot store the machine's identity.
func DefaultHolder(o Options, kind string) (Holder, error) {
	return defaultHolder(o, kind, realSystem(os.Getenv))
}

func defaultHolder(o Options, kind string, sys system) (Holder, error) {
	if h := o.holderOf(kind, sys.holder(o, "", nil)); h.Kind != KindMachine {
		return h, nil // a pod, a job, or a person needs no machine identity
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
		return Holder{}, errors.New("copyhold: this machine has no lasting identity without a cache folder; set CacheDir")
	}
	instance, err := instanceOf(dir)
	if err != nil {
		return Holder{}, fmt.Errorf("copyhold: storing the identity of this machine: %w", err)
	}
	return o.holderOf(kind, sys.holder(o, instance, sys.machine().hashed(o.salt(issuer)))), nil
}

// accountName is the default holder in pools that count people.
func accountName() string {
	u, err := user.Current()
	return accountOf(u, err, os.Getuid())
}

// accountOf names an account. An id without an account, such as one in a container that runs under
// its own user id, gets a name of its own, so that two ids are two people.
func accountOf(u *user.User, err error, uid int) string {
	switch {
	case err == nil && u.Username != "":
		return identifier(u.Username)
	case uid >= 0: // it is -1 on Windows
		return "uid-" + strconv.Itoa(uid)
	}
	return ""
}

// maxIdentifier is the maximum length, in bytes, of ids and other descriptions of a program.
const maxIdentifier = 200

// identifier turns a name from the system into an id. Spaces and control characters become
// underscores. If a name is too long, or has characters that no server accepts (such as a byte that
// is not UTF-8 or an invisible character), the id ends with a hash of the original name, so that
// two names never become one id.
func identifier(name string) string {
	id, lost := legible(name)
	if !lost && len(id) <= maxIdentifier {
		return id
	}
	sum := sha256.Sum256([]byte(name))
	end := "-" + hex.EncodeToString(sum[:8])
	return cut(id, maxIdentifier-len(end)) + end
}

// description turns a program's description of itself into one that a server accepts.
func description(text string) string {
	text, _ = legible(text)
	return cut(text, maxIdentifier)
}

// legible replaces characters that no server accepts, and reports whether it replaced more than
// spaces.
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

// cut returns the longest prefix of s that has at most n bytes and only complete characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// checkIdentifiers refuses ids from the program that no server accepts. An id that is not UTF-8
// would arrive as another id.
func checkIdentifiers(ids map[string]string) error {
	for what, id := range ids {
		if r, found := license.Invisible(id); found {
			return fmt.Errorf("%s contains U+%04X, an invisible character, or a byte that is not UTF-8", what, r)
		}
	}
	return nil
}
