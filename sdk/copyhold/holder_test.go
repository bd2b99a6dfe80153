package copyhold

import (
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"copyhold.dev/sdk/license"
)

func TestDefaultHolders(t *testing.T) {
	cases := map[string]struct {
		env  map[string]string
		want Holder
	}{
		"a machine":  {nil, Holder{Kind: KindMachine, ID: "inst"}},
		"a pod":      {map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_UID": "u-1", "CI_JOB_ID": "7"}, Holder{Kind: KindWorkload, ID: "pod:u-1"}},
		"gitlab":     {map[string]string{"CI_JOB_ID": "7"}, Holder{Kind: KindWorkload, ID: "gitlab:7"}},
		"github":     {map[string]string{"GITHUB_RUN_ID": "9", "GITHUB_JOB": "test", "GITHUB_RUN_ATTEMPT": "2"}, Holder{Kind: KindWorkload, ID: "github:9:test:2"}},
		"slurm":      {map[string]string{"SLURM_JOB_ID": "4", "SLURM_ARRAY_TASK_ID": "3"}, Holder{Kind: KindWorkload, ID: "slurm:4:3"}},
		"half a job": {map[string]string{"JENKINS_URL": "x"}, Holder{Kind: KindMachine, ID: "inst"}},
	}
	for name, tc := range cases {
		s := system{getenv: func(name string) string { return tc.env[name] }}
		host, err := os.Hostname()
		if err != nil {
			t.Fatal(err)
		}
		if tc.want.Kind == KindMachine || name == "a pod" { // a job's id is readable enough
			tc.want.Name = host
		}
		if got := s.defaultHolder("inst"); got.Kind != tc.want.Kind || got.ID != tc.want.ID || got.Name != tc.want.Name {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestTheHostIsNamedAsTheProgramSays(t *testing.T) {
	s := system{getenv: func(string) string { return "" }}
	for text, want := range map[string]string{"cell 4": "cell_4", "-": ""} {
		if h := s.holder(Options{HostName: text}, "inst", nil); h.Name != want || h.ID != "inst" {
			t.Errorf("HostName %q: %+v", text, h)
		}
	}
	own := Holder{Kind: KindUser, ID: "ann"}
	if h := s.holder(Options{HostName: "x", Holder: &own}, "inst", nil); !reflect.DeepEqual(h, own) {
		t.Errorf("a holder that the program named got a host name: %+v", h)
	}
	if h := unnamed(s.holder(Options{}, "inst", nil)); h.Name != "" || h.ID != "inst" {
		t.Errorf("a validation sends the host name: %+v", h)
	}
}

// A user id without an account is a separate person, who never shares a seat with another id.
func TestAUserIDWithoutAnAccountHoldsByItself(t *testing.T) {
	missing := user.UnknownUserIdError(1234)
	for want, got := range map[string]string{
		"ann":      accountOf(&user.User{Username: "ann"}, nil, 1000),
		"a_b":      accountOf(&user.User{Username: "a b"}, nil, 1000),
		"uid-1234": accountOf(nil, missing, 1234),
		"uid-1235": accountOf(nil, missing, 1235),
		"uid-0":    accountOf(&user.User{}, nil, 0),
		"":         accountOf(nil, missing, -1),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// DefaultHolder returns the same machine as a program on that machine uses.
func TestOtherProgramsCanHoldAsAClientDoes(t *testing.T) {
	v := newVendor(t, time.Now)
	v.doc.Pools = map[string]license.Pool{"people": {Capacity: 1, Holder: KindUser}, "hosts": {Capacity: 1, Holder: KindMachine}}
	o := v.options()
	o.Endpoints, o.LicenseFile = nil, filepath.Join(t.TempDir(), "lathe.license")
	if err := os.WriteFile(o.LicenseFile, v.bundle(), 0o600); err != nil {
		t.Fatal(err)
	}
	sys := realSystem(func(string) string { return "" })
	c, err := open(t.Context(), o, sys)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, o := range []Options{o, {Product: o.Product, Issuer: v.issuer, CacheDir: o.CacheDir}} {
		for pool, kind := range map[string]string{"people": KindUser, "hosts": KindMachine} {
			got, err := defaultHolder(o, kind, sys)
			if want := c.holderOf(pool); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, %v; the client is %+v", pool, got, err, want)
			}
		}
	}
	for name, wrong := range map[string]Options{
		"no cache folder": {Product: o.Product, Issuer: v.issuer, CacheDir: noCache},
		"nothing to salt": {Product: o.Product, CacheDir: o.CacheDir},
		"a file instead":  {Product: o.Product, Issuer: v.issuer, CacheDir: filepath.Join(o.CacheDir, "instance")},
	} {
		if got, err := DefaultHolder(wrong, KindMachine); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := DefaultHolder(Options{Product: o.Product, CacheDir: noCache, User: "ann"}, KindUser); err != nil || got.ID != "ann" {
		t.Errorf("a person needs no cache folder: %+v, %v", got, err)
	}
}

func TestPodUIDsAreFoundInMountsAndGroups(t *testing.T) {
	const uid = "0f4f1b6a-1c2d-4e5f-8a9b-0c1d2e3f4a5b"
	for _, text := range []string{
		"1 2 8:1 /var/lib/kubelet/pods/" + uid + "/etc-hosts /etc/hosts rw",
		"12:pids:/kubepods/besteffort/pod" + uid + "/abc",
		"0::/kubepods.slice/kubepods-pod0f4f1b6a_1c2d_4e5f_8a9b_0c1d2e3f4a5b.slice/cri",
	} {
		if got := findPodUID(text); got != uid {
			t.Errorf("%q in %q", got, text)
		}
	}
	if got := findPodUID("0::/user.slice"); got != "" {
		t.Errorf("found %q", got)
	}
}

func TestThisMachineIsHashed(t *testing.T) {
	m := thisMachine()
	hashes := m.hashed([]byte("salt"))
	for name, hash := range hashes {
		if len(hash) != 64 || hash == m[name] {
			t.Errorf("%s is %q", name, hash)
		}
	}
	if other := m.hashed([]byte("another")); len(hashes) > 0 {
		for name := range hashes {
			if hashes[name] == other[name] {
				t.Errorf("%s is the same for two products", name)
			}
		}
	}
}
