package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// didYouMean returns the end of an error about an unknown word: a suggestion, if a known word is
// similar.
func didYouMean(word string, known []string) string {
	const longest = 64 // a longer word is not a typing error
	if len(word) > longest {
		return ""
	}
	best, least := "", 2+len(word)/4
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance counts the typing errors between two words: letters that are missing, added, wrong, or
// swapped with the next one (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			wrong := 0
			if a[i-1] != b[j-1] {
				wrong = 1
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// subcommandOnly is for commands that only have subcommands: an argument is an unknown one.
func subcommandOnly(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range c.Commands() {
		if slices.Contains(sub.SuggestFor, args[0]) {
			return usageError("unknown command %q for %q; did you mean %s?", args[0], c.CommandPath(), sub.Name())
		}
		known = append(known, sub.Name())
	}
	return usageError(`unknown command %q for %q%s; see "%s --help"`, args[0], c.CommandPath(), didYouMean(args[0], known), c.CommandPath())
}

// helpTopic refuses unknown topics of the help command.
func helpTopic(c *cobra.Command, args []string) error {
	about, rest, err := c.Root().Find(args)
	if err != nil {
		return usageError("%w", err)
	}
	if about.HasSubCommands() {
		return subcommandOnly(about, rest)
	}
	return nil
}

// flagError says what is wrong with the flags of c.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		var known []string
		c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		hint := ""
		if name := unknown.GetSpecifiedName(); len(name) > 1 {
			hint = didYouMean("--"+name, known)
		}
		return usageError(`%w%s; see "%s --help"`, err, hint, c.CommandPath())
	case errors.As(err, &invalid):
		return invalidValue("--"+invalid.GetFlag().Name, invalid.GetFlag(), invalid.GetValue(), invalid.Unwrap())
	default:
		return usageError(`%w; see "%s --help"`, err, c.CommandPath())
	}
}

// kindsOfValues says what values a flag of each type takes.
var kindsOfValues = map[string]string{
	"bool":        "true or false",
	"duration":    "a duration such as 500ms, 5s or 2m",
	"float64":     "a number",
	"int":         "a whole number",
	"int64":       "a whole number",
	"uint":        "a whole number that is not negative",
	"uint64":      "a whole number that is not negative",
	"stringSlice": "a list with commas between its parts",
}

// unitsOfFlags are the units in which flags count whose values name none.
var unitsOfFlags = map[string]string{"election-timeout": "milliseconds", "heartbeat-interval": "milliseconds", "auth-token-ttl": "seconds"}

// valuesOf says what values a flag takes; ok is false where its type has errors that say enough.
func valuesOf(f *pflag.Flag) (kind string, ok bool) {
	if unit := unitsOfFlags[f.Name]; unit != "" {
		return fmt.Sprintf("a whole number of %s, such as %s", unit, f.DefValue), true
	}
	kind, ok = kindsOfValues[f.Value.Type()]
	return kind, ok
}

// invalidValue is the error of a flag's value that is not of its type, from some source.
func invalidValue(source string, f *pflag.Flag, value string, err error) error {
	kind, ok := valuesOf(f)
	switch {
	case !ok:
		return usageError("%s: invalid value %q: %w", source, value, err)
	case errors.Is(err, strconv.ErrRange):
		return usageError("%s: invalid value %q: out of range; it must be %s", source, value, kind)
	default:
		return usageError("%s: invalid value %q: it must be %s", source, value, kind)
	}
}

// kubernetes are the suffixes of the variables that Kubernetes sets for a service called balsa, which
// are not mistakes.
var kubernetes = []string{"_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_TCP_ADDR", "_TCP_PORT", "_TCP_PROTO"}

// strayVariables returns a warning for each variable of the environment that begins like balsa's
// and is none of them.
func strayVariables(environ []string) (warnings []string) {
	known := []string{"BALSA_CONFIG_FILE"}
	collect := func(f *pflag.Flag) { known = append(known, envNames(f)[0]) }
	new(serveOptions).flags().VisitAll(collect)
	new(connection).newFlags().VisitAll(collect)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "BALSA_") || slices.Contains(known, name) || isChildVariable(name) ||
			strings.Contains(name, "_SERVICE_PORT_") ||
			slices.ContainsFunc(kubernetes, func(end string) bool { return strings.HasSuffix(name, end) }) {
			continue
		}
		warnings = append(warnings, "environment variable "+name+" is not known, and ignored"+didYouMean(name, known))
	}
	slices.Sort(warnings)
	return warnings
}
