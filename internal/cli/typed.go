package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// fieldsOf is the annotation that names the request fields that a flag fills, if their names
// differ from the flag's.
const fieldsOf = "fields"

// fills sets which request fields a flag fills.
func fills(flags *pflag.FlagSet, name string, fields ...string) {
	_ = flags.SetAnnotation(name, fieldsOf, fields) // fails only for a flag that does not exist
}

// typed returns the flag or argument for a field of cmd's request, or "". If a field has no
// flag, typed looks for one by the field's parents and then by its last name.
func typed(cmd *cobra.Command, field string) string {
	var names []string
	for name := field; ; {
		names = append(names, name)
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			break
		}
		name = name[:dot]
	}
	names = append(names, field[strings.LastIndexByte(field, '.')+1:])
	for _, name := range names {
		if flag := flagFor(cmd.Flags(), name); flag != "" {
			return "--" + flag
		}
	}
	arguments := arguments(cmd)
	for _, name := range names {
		argument := strings.ToUpper(name)
		for _, candidate := range []string{argument, strings.TrimSuffix(argument, "S")} {
			if slices.Contains(arguments, candidate) {
				return candidate
			}
		}
	}
	if field == "name" && len(arguments) > 0 {
		return arguments[0] // the object of the command
	}
	return ""
}

// flagFor returns the flag that fills a field, or "".
func flagFor(flags *pflag.FlagSet, field string) (name string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if slices.Contains(f.Annotations[fieldsOf], field) {
			name = f.Name
		}
	})
	own := strings.ReplaceAll(field, "_", "-")
	for _, candidate := range []string{own, strings.TrimSuffix(own, "s")} {
		if name == "" && flags.Lookup(candidate) != nil {
			name = candidate
		}
	}
	return name
}

// arguments returns the names of cmd's arguments: the capitalized words of its usage before
// any flag.
func arguments(cmd *cobra.Command) []string {
	before, _, _ := strings.Cut(cmd.Use, "--")
	return regexp.MustCompile(`\b[A-Z]{2,}\b`).FindAllString(before, -1)
}
