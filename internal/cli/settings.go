package cli

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

const defaultURL = "http://127.0.0.1:7400"

// A secret is text that is sent and never shown.
type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "(hidden)"
}

// A setting is one resolved value and where it was found.
type setting[T ~string] struct {
	value  T
	source string
}

// settings are what a client command needs to know about its server.
type settings struct {
	endpoints   *endpoints
	environment setting[string]
	rootSet     setting[string] // file with the pinned root set, if there is one
	ca          setting[string] // file with more certificate authorities, if there is one
	token, key  setting[secret] // only the one that the command needs
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

// settings resolves every value that a command needs who asks in this way: a flag wins
// over the environment, the environment over the profile, the profile over what is
// built in.
func (c *cli) settings(as credential) (settings, error) {
	p, file, err := c.profile()
	if err != nil {
		return settings{}, err
	}
	var s settings
	s.endpoints, err = parseEndpoints(first(
		setting[string]{c.flags.url, "--url"},
		setting[string]{c.getenv("COPYHOLD_URL"), "COPYHOLD_URL"},
		setting[string]{p.URL, file},
		setting[string]{defaultURL, "default"}))
	if err != nil {
		return s, err
	}
	s.environment = first(
		setting[string]{c.flags.environment, "--environment"},
		setting[string]{c.getenv("COPYHOLD_ENVIRONMENT"), "COPYHOLD_ENVIRONMENT"},
		setting[string]{p.Environment, file})
	s.rootSet = first(
		setting[string]{c.flags.rootSet, "--root-set"},
		setting[string]{c.getenv("COPYHOLD_ROOT_SET_FILE"), "COPYHOLD_ROOT_SET_FILE"},
		setting[string]{p.RootSetFile, file})
	s.ca = first(
		setting[string]{c.flags.ca, "--ca"},
		setting[string]{c.getenv("COPYHOLD_CA_FILE"), "COPYHOLD_CA_FILE"},
		setting[string]{p.CAFile, file})
	switch as {
	case byToken:
		s.token, err = c.secret(c.flags.tokenFile, "--token-file", "COPYHOLD_TOKEN", p.TokenFile, file)
	case byKey:
		s.key, err = c.secret(c.flags.keyFile, "--key-file", "COPYHOLD_LICENSE_KEY", p.LicenseKeyFile, file)
	case anonymous:
	}
	return s, err
}

// secret finds a secret: in the file a flag names, in the variable, in the file
// that variable_FILE names, or in the file a profile names.
func (c *cli) secret(flagFile, flag, variable, profileFile, profileName string) (setting[secret], error) {
	if value := c.getenv(variable); value != "" && flagFile == "" {
		text, err := license.DecodeSecret(variable, []byte(value))
		if err != nil {
			return setting[secret]{}, exitf(exitUsage, "%w", err)
		}
		return setting[secret]{secret(text), variable}, nil
	}
	file := first(
		setting[string]{flagFile, flag},
		setting[string]{c.getenv(variable + "_FILE"), variable + "_FILE"},
		setting[string]{profileFile, profileName})
	if file.value == "" {
		return setting[secret]{}, nil
	}
	text, err := readFile(file.value, maxSmallFile)
	if err != nil {
		return setting[secret]{}, exitf(exitUsage, "reading the secret that %s names: %w", file.source, err)
	}
	value, err := license.DecodeSecret(file.value, text)
	if err != nil {
		return setting[secret]{}, exitf(exitUsage, "reading the secret that %s names: %w", file.source, err)
	}
	return setting[secret]{secret(value), file.value}, nil
}

// profile reads the chosen profile; only a profile asked for by name has to exist.
func (c *cli) profile() (profile, string, error) {
	name := cmp.Or(c.flags.profile, c.getenv("COPYHOLD_PROFILE"))
	file, err := c.profileFile()
	if err != nil && name == "" {
		return profile{}, "", nil // a machine account without a home has no profile
	}
	if err != nil {
		return profile{}, "", exitf(exitUsage, "looking for profiles: %w", err)
	}
	text, err := readText(file, maxSmallFile)
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return profile{}, file, nil
	}
	if err != nil {
		return profile{}, file, exitf(exitUsage, "reading profiles: %w", err)
	}
	var profiles map[string]profile
	if err := yaml.Load([]byte(text), &profiles, yaml.WithKnownFields()); err != nil {
		return profile{}, file, exitf(exitUsage, "reading profiles in %s: %w", file, err)
	}
	p, ok := profiles[cmp.Or(name, "default")]
	if !ok && name != "" {
		return profile{}, file, exitf(exitUsage, "%s has no profile %q", file, name)
	}
	return p, fmt.Sprintf("%s (%s)", file, cmp.Or(name, "default")), nil
}

// profileFile is $XDG_CONFIG_HOME/copyhold/profiles.yaml or the system's equal.
func (c *cli) profileFile() (string, error) {
	if dir := c.getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "copyhold", "profiles.yaml"), nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "copyhold", "profiles.yaml"), err
}

// first returns the first setting that has a value.
func first[T ~string](candidates ...setting[T]) setting[T] {
	for _, s := range candidates {
		if s.value != "" {
			return s
		}
	}
	return setting[T]{}
}
