package etcdconfig

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrUsage is every error about what the server was told.
	ErrUsage = errors.New("bad configuration")
	// ErrFlags is an ErrUsage: the command line cannot be read.
	ErrFlags = fmt.Errorf("%w", ErrUsage)
)

func usageError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUsage, fmt.Errorf(format, args...))
}

// Parse reads a command line and an environment (name=value), and the file that they name, if any.
func Parse(args, environ []string) (*Options, error) {
	o := new(Options)
	fs := o.checkedFlags()
	fs.SetOutput(io.Discard)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return &Options{Help: true}, nil
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFlags, err)
	case o.bad != nil:
		return nil, fmt.Errorf("%w: %w", ErrFlags, o.bad.from("--"+o.bad.name))
	case fs.NArg() > 0:
		return nil, usageError("%q is not a valid flag", fs.Arg(0))
	case o.Version:
		return o, nil
	}
	env := variables(environ)
	if path := cmp.Or(o.configFile, env["ETCD_CONFIG_FILE"]); path != "" {
		var err error
		if o, fs, err = fromFile(path, fs, env); err != nil {
			return nil, err
		}
	} else if err := o.fromEnvironment(fs, env); err != nil {
		return nil, err
	}
	return o, o.settle(fs)
}

// variables returns the variables of the environment that are etcd's and not empty.
func variables(environ []string) map[string]string {
	env := make(map[string]string)
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "ETCD_") && value != "" {
			env[name] = value
		}
	}
	return env
}

// ofKubernetes tells whether Kubernetes sets such a variable for a service called etcd.
func ofKubernetes(name string) bool {
	return strings.HasPrefix(name, "ETCD_SERVICE_") || strings.HasPrefix(name, "ETCD_PORT")
}

// fromEnvironment sets the flags that the command line has not set.
func (o *Options) fromEnvironment(fs *flag.FlagSet, env map[string]string) (err error) {
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	known := map[string]bool{"ETCD_CONFIG_FILE": true, "ETCD_UNSUPPORTED_ARCH": true, "ETCD_VERSION": true}
	fs.VisitAll(func(f *flag.Flag) {
		name := "ETCD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := env[name]
		if !ok || known[name] {
			return
		}
		known[name] = true
		if given[f.Name] {
			o.warn("%s is not used: --%s is given", name, f.Name)
		} else {
			err = errors.Join(err, o.set(fs, f.Name, value, name))
		}
	})
	for name := range env {
		if !known[name] && !ofKubernetes(name) {
			o.warn("environment variable %s is not known, and ignored", name)
		}
	}
	slices.Sort(o.Warnings)
	return err
}

func (o *Options) warn(format string, args ...any) {
	o.Warnings = append(o.Warnings, fmt.Sprintf(format, args...))
}

// settle notes what was set, warns of flags without an effect, and refuses those that are to be.
func (o *Options) settle(fs *flag.FlagSet) (err error) {
	o.explicit = make(map[string]bool)
	fs.Visit(func(f *flag.Flag) {
		o.explicit[f.Name] = true
		o.Used = append(o.Used, settingOf(f))
		v, ok := f.Value.(*checked).Value.(*otherValue)
		switch {
		case !ok || v.isDefault() || v.other.fate == silent:
		case v.other.fate == refused:
			err = errors.Join(err, usageError("--%s is refused: %s", f.Name, v.other.why))
		default:
			o.warn("--%s does nothing: %s", f.Name, v.other.why)
		}
	})
	return err
}

// settingOf is a flag as the log tells it. The only one whose value is a secret is a password.
func settingOf(f *flag.Flag) Setting {
	if strings.HasSuffix(f.Name, "password") {
		return Setting{f.Name, "(not shown)"}
	}
	return Setting{f.Name, f.Value.String()}
}

// sameValue tells whether two texts of a kind are the same value.
func sameValue(k kind, a, b string) bool {
	switch k {
	case number:
		m, e1 := strconv.ParseUint(a, 10, 64)
		n, e2 := strconv.ParseUint(b, 10, 64)
		return e1 == nil && e2 == nil && m == n
	case duration:
		m, e1 := time.ParseDuration(a)
		n, e2 := time.ParseDuration(b)
		return e1 == nil && e2 == nil && m == n
	case boolean:
		m, e1 := strconv.ParseBool(a)
		n, e2 := strconv.ParseBool(b)
		return e1 == nil && e2 == nil && m == n
	}
	return a == b
}
