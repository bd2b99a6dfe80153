package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v4"
)

// Sources is where settings come from.
type Sources struct {
	// File is a YAML file; empty for none. One that is named has to exist.
	File string
	// Getenv reads the environment; os.Getenv.
	Getenv func(string) string
	// Flags are the settings given on the command line, by path.
	Flags map[string]string
}

// A Loaded is a Config and where each of its settings comes from.
type Loaded struct {
	Config
	origins map[string]string
}

// Origin returns where the setting at path comes from: "default", a file, a
// variable or a flag.
func (l Loaded) Origin(path string) string { return l.origins[path] }

// Load reads the settings from all sources and checks them. Its error names
// every wrong setting, where it comes from and what would be right, but no secret.
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
	fromFile, err := readFile(from.File)
	if err != nil {
		return Loaded{}, err
	}
	fromEnv, variables, err := readEnv(from.Getenv)
	if err != nil {
		return Loaded{}, err
	}
	flags := map[string]any{}
	for path, value := range from.Flags {
		flags[path] = value
	}
	settings := byPath()
	if err := errors.Join(
		layer(defaults(settings), func(string) string { return "default" }),
		layer(fromFile, func(string) string { return from.File }),
		layer(fromEnv, func(path string) string { return variables[path] }),
		layer(flags, func(path string) string { return "--" + settings[path].Flag() }),
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

// decode puts each value into its field, so that an error can name the setting
// and its source; koanf's own errors would repeat secrets.
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

// readFile returns the settings of a YAML file by path.
func readFile(name string) (map[string]any, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	var tree map[string]any
	if err := yaml.Load(text, &tree); err != nil {
		return nil, fmt.Errorf("reading settings in %s: %w", name, err)
	}
	values := map[string]any{}
	flatten(values, "", tree)
	return values, nil
}

func flatten(into map[string]any, prefix string, tree map[string]any) {
	for name, value := range tree {
		switch value := value.(type) {
		case map[string]any:
			flatten(into, prefix+name+".", value)
		case nil: // a name without a value is the default
		default:
			into[prefix+name] = value
		}
	}
}

// readEnv returns the settings in the environment by path, and the variable
// each was found in. A secret may stand in a file that VARIABLE_FILE names.
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

func secretFile(name string) (string, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no file %s", name)
	}
	return strings.TrimSpace(string(text)), err
}
