package client

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"

	"copyhold.dev/sdk/license"
)

// DefaultURL is where a server on this machine listens by default.
const DefaultURL = "http://127.0.0.1:7400"

// A Secret is text that is sent but never shown.
type Secret string

// String hides the secret; convert it to a string to send it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// A Setting is one resolved value and its source.
type Setting[T ~string] struct {
	Value  T
	Source string
}

// Settings are everything that a client command needs to reach its server.
type Settings struct {
	Endpoints   *Endpoints
	Environment Setting[string]
	RootSet     Setting[string] // file with the pinned root set; may be empty
	CA          Setting[string] // file with additional certificate authorities; may be empty
	Token, Key  Setting[Secret] // only the one that the command needs
}

// A profile is a named set of settings in the profile file.
type profile struct {
	URL            string `yaml:"url"`
	Environment    string `yaml:"environment"`
	TokenFile      string `yaml:"token_file"`
	LicenseKeyFile string `yaml:"license_key_file"`
	RootSetFile    string `yaml:"root_set_file"`
	CAFile         string `yaml:"ca_file"`
}

// Flags are the settings given on a command line; an empty one was not given.
type Flags struct {
	URL, Environment, Profile string
	TokenFile, KeyFile        string
	RootSet, CA               string
}

// A source is where Resolve looks for settings.
type source struct {
	flags  Flags
	getenv func(name string) string
}

// Resolve finds every value that a request with this credential needs. A flag overrides the
// environment, which getenv reads; the environment overrides the profile, and the profile
// overrides the built-in defaults.
func Resolve(flags Flags, getenv func(name string) string, as Credential) (Settings, error) {
	c := source{flags, getenv}
	p, file, err := c.profile()
	if err != nil {
		return Settings{}, err
	}
	var s Settings
	s.Endpoints, err = parseEndpoints(first(
		Setting[string]{c.flags.URL, "--url"},
		Setting[string]{c.getenv("COPYHOLD_URL"), "COPYHOLD_URL"},
		Setting[string]{p.URL, file},
		Setting[string]{DefaultURL, "default"}))
	if err != nil {
		return s, err
	}
	s.Environment = first(
		Setting[string]{c.flags.Environment, "--environment"},
		Setting[string]{c.getenv("COPYHOLD_ENVIRONMENT"), "COPYHOLD_ENVIRONMENT"},
		Setting[string]{p.Environment, file})
	s.RootSet = first(
		Setting[string]{c.flags.RootSet, "--root-set"},
		Setting[string]{c.getenv("COPYHOLD_ROOT_SET_FILE"), "COPYHOLD_ROOT_SET_FILE"},
		Setting[string]{p.RootSetFile, file})
	s.CA = first(
		Setting[string]{c.flags.CA, "--ca"},
		Setting[string]{c.getenv("COPYHOLD_CA_FILE"), "COPYHOLD_CA_FILE"},
		Setting[string]{p.CAFile, file})
	switch as {
	case ByToken:
		s.Token, err = c.secret(c.flags.TokenFile, "--token-file", "COPYHOLD_TOKEN", p.TokenFile, file)
	case ByKey:
		s.Key, err = c.secret(c.flags.KeyFile, "--key-file", "COPYHOLD_LICENSE_KEY", p.LicenseKeyFile, file)
	case Anonymous:
	}
	return s, err
}

// secret finds a secret in the file that a flag names, in the variable, in the file that
// variable_FILE names, or in the file that a profile names.
func (c source) secret(flagFile, flag, variable, profileFile, profileName string) (Setting[Secret], error) {
	if value := c.getenv(variable); value != "" && flagFile == "" {
		text, err := license.DecodeSecret(variable, []byte(value))
		if err != nil {
			return Setting[Secret]{}, Errorf(Usage, "%w", err)
		}
		return Setting[Secret]{Secret(text), variable}, nil
	}
	file := first(
		Setting[string]{flagFile, flag},
		Setting[string]{c.getenv(variable + "_FILE"), variable + "_FILE"},
		Setting[string]{profileFile, profileName})
	if file.Value == "" {
		return Setting[Secret]{}, nil
	}
	text, err := ReadFile(file.Value, MaxSmallFile)
	if err != nil {
		return Setting[Secret]{}, Errorf(Usage, "reading the secret set by %s: %w", file.Source, err)
	}
	value, err := license.DecodeSecret(file.Value, text)
	if err != nil {
		return Setting[Secret]{}, Errorf(Usage, "reading the secret set by %s: %w", file.Source, err)
	}
	return Setting[Secret]{Secret(value), file.Value}, nil
}

// profile reads the chosen profile. It must exist only if it was requested by name.
func (c source) profile() (profile, string, error) {
	name := cmp.Or(c.flags.Profile, c.getenv("COPYHOLD_PROFILE"))
	file, err := c.profileFile()
	if err != nil && name == "" {
		return profile{}, "", nil // a machine account without a home has no profile
	}
	if err != nil {
		return profile{}, "", Errorf(Usage, "finding the profile file: %w", err)
	}
	text, err := ReadText(file, MaxSmallFile)
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return profile{}, file, nil
	}
	if err != nil {
		return profile{}, file, Errorf(Usage, "reading profiles: %w", err)
	}
	var profiles map[string]profile
	if err := yaml.Load([]byte(text), &profiles, yaml.WithKnownFields()); err != nil {
		return profile{}, file, Errorf(Usage, "reading profiles in %s: %w", file, err)
	}
	p, ok := profiles[cmp.Or(name, "default")]
	if !ok && name != "" {
		return profile{}, file, Errorf(Usage, "%s has no profile %q", file, name)
	}
	return p, fmt.Sprintf("%s (%s)", file, cmp.Or(name, "default")), nil
}

// profileFile returns $XDG_CONFIG_HOME/copyhold/profiles.yaml, or its equivalent on this system.
func (c source) profileFile() (string, error) {
	if dir := c.getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "copyhold", "profiles.yaml"), nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "copyhold", "profiles.yaml"), err
}

// first returns the first setting that has a value.
func first[T ~string](candidates ...Setting[T]) Setting[T] {
	for _, s := range candidates {
		if s.Value != "" {
			return s
		}
	}
	return Setting[T]{}
}
