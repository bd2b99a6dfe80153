package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v4"

	"copyhold.dev/sdk/license"
)

// Sources are the places where settings come from.
type Sources struct {
	// File is a YAML file, which must exist; empty for none.
	File string
	// Getenv reads the environment, as os.Getenv does.
	Getenv func(string) string
	// Flags are the settings given on the command line, by path. For a secret, the value is
	// the name of the file that contains it.
	Flags map[string]string
}

// A Loaded is a Config with the source of each setting.
type Loaded struct {
	Config
	origins map[string]string
}

// Origin returns the source of the setting at path: "default", a file, a variable or a flag.
func (l Loaded) Origin(path string) string { return l.origins[path] }

// Former returns the source of a setting that was found under its former name, or "".
func (l Loaded) Former(path string) string {
	former := Setting{Path: byPath()[path].Former()}
	switch origin := l.Origin(path); {
	case former.Path == "":
	case origin == "--"+former.Flag(), origin == former.Env(), strings.HasSuffix(origin, " ("+former.Path+")"):
		return origin
	}
	return ""
}

// Load reads the settings from all sources and checks them. Its error lists every invalid
// setting with its source and the correct form, but never a secret.
func Load(from Sources) (Loaded, error) {
	k, origins := koanf.New("."), map[string]string{}
	layer := func(values map[string]any, origin func(path string) string) error {
		for _, path := range slices.Sorted(maps.Keys(values)) {
			if err := k.Set(path, values[path]); err != nil {
				return fmt.Errorf("reading settings: %s: %w", origin(path), err)
			}
			origins[path] = origin(path)
		}
		return nil
	}
	credentials, err := readCredentials(from.Getenv)
	if err != nil {
		return Loaded{}, err
	}
	fromFile, origin, err := readFile(from.File)
	if err != nil {
		return Loaded{}, err
	}
	former := readFormer(from.Getenv)
	fromEnv, variables, err := readEnv(from.Getenv)
	if err != nil {
		return Loaded{}, err
	}
	settings := byPath()
	flags, typed, err := readFlags(from.Flags, settings)
	if err != nil {
		return Loaded{}, err
	}
	if err := errors.Join(
		layer(defaults(settings), func(string) string { return "default" }),
		layer(credentials, func(path string) string { return "systemd credential " + settings[path].credential() }),
		layer(former, func(path string) string { return Setting{Path: settings[path].Former()}.Env() }),
		layer(fromFile, origin),
		layer(fromEnv, func(path string) string { return variables[path] }),
		layer(flags, func(path string) string { return typed[path] }),
	); err != nil {
		return Loaded{}, err
	}
	l := Loaded{origins: origins}
	for path := range origins {
		if _, known := settings[path]; !known {
			return Loaded{}, fmt.Errorf("%s: %w", origins[path], unknown(path))
		}
	}
	if err := l.decode(k); err != nil {
		return Loaded{}, err
	}
	return l, l.check()
}

func byPath() map[string]Setting {
	settings := map[string]Setting{}
	for _, s := range Settings() {
		settings[s.Path] = s
	}
	return settings
}

func defaults(settings map[string]Setting) map[string]any {
	values := map[string]any{}
	for path, s := range settings {
		values[path] = s.Default
	}
	return values
}

// decode assigns each value to its field, so that an error can name the setting and its
// source. The errors of koanf itself would contain secrets.
func (l *Loaded) decode(k *koanf.Koanf) error {
	var faults []error
	walkValues(reflect.ValueOf(&l.Config).Elem(), "", func(path string, v reflect.Value) {
		if err := assign(v, k.Get(path)); err != nil {
			faults = append(faults, fmt.Errorf("%s (from %s): %w", path, l.Origin(path), err))
		}
	})
	return errors.Join(faults...)
}

func walkValues(v reflect.Value, prefix string, visit func(path string, v reflect.Value)) {
	i := 0
	for f := range fields(v.Type()) {
		path, value := prefix+f.Tag.Get("koanf"), v.Field(i)
		i++
		if f.Type.Kind() == reflect.Struct {
			walkValues(value, path+".", visit)
			continue
		}
		visit(path, value)
	}
}

// readFlags returns the settings given on the command line by path, and the flag that set each.
func readFlags(given map[string]string, settings map[string]Setting) (values map[string]any, typed map[string]string, err error) {
	values, typed = map[string]any{}, map[string]string{}
	for path, s := range settings {
		value, ok := given[path]
		typed[path] = "--" + s.Flag()
		if !ok && s.Former() != "" {
			value, ok = given[s.Former()]
			typed[path] = "--" + Setting{Path: s.Former()}.Flag()
		}
		if ok && s.Secret() {
			if value, err = secretFile(value); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", typed[path], err)
			}
		}
		if ok {
			values[path] = value
		}
	}
	return values, typed, nil
}

// readFile returns the settings of a YAML file by path, and the source of each. A secret is
// under its path, or the name of its file is under that path with _file added.
func readFile(name string) (values map[string]any, origin func(path string) string, err error) {
	if name == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("reading settings: %w", err)
	}
	decoded, err := license.DecodeText(name, text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading settings: %w", err)
	}
	var tree map[string]any
	if err := yaml.Load([]byte(decoded), &tree); err != nil {
		return nil, nil, fmt.Errorf("reading settings in %s: %w", name, err)
	}
	values, origins := map[string]any{}, map[string]string{}
	flatten(values, "", tree)
	for _, s := range Settings() {
		former := s.Former()
		value, ok := values[former]
		if _, both := values[s.Path]; ok && !both {
			values[s.Path], origins[s.Path] = value, name+" ("+former+")"
		}
		delete(values, former)
	}
	for _, s := range Settings() {
		named := s.Path + "_file"
		file, ok := values[named]
		if !ok || !s.Secret() {
			continue
		}
		if _, both := values[s.Path]; both {
			return nil, nil, fmt.Errorf("%s: set either %s or %s, not both", name, s.Path, named)
		}
		path, isText := file.(string)
		if !isText {
			return nil, nil, fmt.Errorf("%s: %s: the value must be a file name", name, named)
		}
		if values[s.Path], err = secretFile(path); err != nil {
			return nil, nil, fmt.Errorf("%s: %s: %w", name, named, err)
		}
		origins[s.Path] = name + " (" + named + ")"
		delete(values, named)
	}
	return values, func(path string) string { return cmp.Or(origins[path], name) }, nil
}

// readCredentials returns the secrets that systemd provides to this unit as credentials.
func readCredentials(getenv func(string) string) (map[string]any, error) {
	values := map[string]any{}
	if getenv == nil || getenv("CREDENTIALS_DIRECTORY") == "" {
		return values, nil
	}
	for _, s := range Settings() {
		file := filepath.Join(getenv("CREDENTIALS_DIRECTORY"), s.credential())
		if _, err := os.Lstat(file); !s.Secret() || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		text, err := secretFile(file)
		if err != nil {
			return nil, fmt.Errorf("systemd credential %s: %w", s.credential(), err)
		}
		values[s.Path] = text
	}
	return values, nil
}

func flatten(into map[string]any, prefix string, tree map[string]any) {
	for name, value := range tree {
		switch value := value.(type) {
		case map[string]any:
			flatten(into, prefix+name+".", value)
		case nil: // a name without a value means the default
		default:
			into[prefix+name] = value
		}
	}
}

// readEnv returns the settings in the environment by path, and the variable that set each.
// VARIABLE_FILE names a file that contains a secret.
func readEnv(getenv func(string) string) (values map[string]any, variables map[string]string, err error) {
	values, variables = map[string]any{}, map[string]string{}
	if getenv == nil {
		return values, variables, nil
	}
	for _, s := range Settings() {
		variable := s.Env()
		value := getenv(variable)
		if file := getenv(variable + "_FILE"); s.Secret() && value == "" && file != "" {
			variable += "_FILE"
			if value, err = secretFile(file); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", variable, err)
			}
		}
		if value != "" {
			values[s.Path], variables[s.Path] = value, variable
		}
	}
	return values, variables, nil
}

// readFormer returns the settings in variables with former names.
func readFormer(getenv func(string) string) map[string]any {
	values := map[string]any{}
	for _, s := range Settings() {
		if s.Former() == "" || getenv == nil {
			continue
		}
		if value := getenv(Setting{Path: s.Former()}.Env()); isURL(value) {
			values[s.Path] = value
		}
	}
	return values
}

// secretFile reads a secret. An empty file is an error, not a missing setting: otherwise
// the server would use another key or database instead.
func secretFile(name string) (string, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("file %s does not exist", name)
	}
	if err != nil {
		return "", err
	}
	secret, err := license.DecodeText(name, text)
	if secret = strings.TrimSpace(secret); err == nil && secret == "" {
		return "", fmt.Errorf("file %s is empty", name)
	}
	return secret, err
}
