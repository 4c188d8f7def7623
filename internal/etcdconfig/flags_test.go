package etcdconfig

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// etcdsFlags are the flags of etcd, and their defaults.
func etcdsFlags(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			name, value, _ := strings.Cut(line, " ")
			all[name] = value
		}
	}
	return all
}

// otherDefaults are flags whose default says here that another flag, or nothing, decides.
var otherDefaults = []string{"advertise-client-urls", "initial-advertise-peer-urls", "initial-cluster"}

func TestEveryFlagOfEtcdHasAFate(t *testing.T) {
	want := etcdsFlags(t)
	got := make(map[string]string)
	new(Options).FlagSet().VisitAll(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "experimental-") {
			got[f.Name] = f.DefValue
		}
	})
	for _, name := range slices.Sorted(maps.Keys(want)) {
		value, ok := got[name]
		switch {
		case !ok:
			t.Errorf("--%s of etcd is not known", name)
		case value != want[name] && !slices.Contains(otherDefaults, name):
			t.Errorf("--%s is %q by default, and in etcd %q", name, value, want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("--%s is none of etcd", name)
		}
	}
	if len(want) < 125 {
		t.Errorf("only %d flags", len(want))
	}
}

// another is a value of a flag that is not its default.
var another = map[kind]string{text: "x", number: "77", duration: "77s", boolean: "true"}

func TestFlagsWithoutEffectAreToldOrRefused(t *testing.T) {
	for _, f := range others {
		value := another[f.kind]
		if f.kind == boolean && f.value == "true" {
			value = "false"
		}
		o, err := Parse([]string{"--" + f.name + "=" + value}, nil)
		switch f.fate {
		case refused:
			if err == nil || !strings.Contains(err.Error(), "--"+f.name+" is refused: ") {
				t.Errorf("--%s=%s: %v", f.name, value, err)
			}
		case ignored:
			if err != nil || len(o.Warnings) != 1 || !strings.HasPrefix(o.Warnings[0], "--"+f.name+" does nothing: ") {
				t.Errorf("--%s=%s: %+v, %v", f.name, value, o, err)
			}
		case silent:
			if err != nil || len(o.Warnings) != 0 {
				t.Errorf("--%s=%s: %+v, %v", f.name, value, o, err)
			}
		}
		if o, err := Parse([]string{"--" + f.name + "=" + f.value}, nil); f.value != "" && (err != nil || len(o.Warnings) != 0) {
			t.Errorf("--%s with its default: %+v, %v", f.name, o, err)
		}
		if f.kind != text && f.fate != silent {
			if _, err := Parse([]string{"--" + f.name + "=nonsense"}, nil); err == nil {
				t.Errorf("--%s=nonsense is taken", f.name)
			}
		}
	}
}

// What was set goes to the log.
func TestAPasswordIsNotTold(t *testing.T) {
	o, err := Parse([]string{"--discovery-password", "s3cret", "--name", "n1"}, []string{"ETCD_DISCOVERY_USER=ann"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{{"discovery-password", "(not shown)"}, {"discovery-user", "ann"}, {"name", "n1"}}
	if !slices.Equal(o.Used, want) || strings.Contains(strings.Join(o.Warnings, " "), "s3cret") {
		t.Errorf("%v, %q", o.Used, o.Warnings)
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name      string
		args, env []string
		says      string // part of the error
		warns     string // part of the one warning
		want      func(*Options) bool
	}{
		{name: "one dash", args: []string{"-name", "n1"}, want: func(o *Options) bool { return o.Name == "n1" }},
		{name: "environment", env: []string{"ETCD_NAME=n1", "ETCD_AUTO_TLS=true", "ETCD_QUOTA_BACKEND_BYTES="},
			want: func(o *Options) bool { return o.Name == "n1" && o.autoTLS }},
		{name: "flag and environment", args: []string{"--name=n1"}, env: []string{"ETCD_NAME=n2"}, warns: "ETCD_NAME is not used",
			want: func(o *Options) bool { return o.Name == "n1" }},
		{name: "unknown variable", env: []string{"ETCD_ENABLE_V2=true"}, warns: "ETCD_ENABLE_V2"},
		{name: "Kubernetes' variables", env: []string{"ETCD_SERVICE_HOST=10.0.0.1", "ETCD_PORT_2379_TCP=x", "OTHER=y"}},
		{name: "old name", args: []string{"--experimental-initial-corrupt-check=true", "--experimental-compact-hash-check-enabled"}},
		{name: "old name that does nothing", args: []string{"--experimental-corrupt-check-time=10h"}, warns: "--experimental-corrupt-check-time does nothing"},
		{name: "gates", args: []string{"--feature-gates=InitialCorruptCheck=true,CompactHashCheck=false"}},
		{name: "unknown gate", args: []string{"--feature-gates=Nonsense=true"}, says: "unrecognized feature gate: Nonsense"},
		{name: "unknown flag", args: []string{"--nonsense"}, says: "flag provided but not defined: -nonsense"},
		{name: "no flag", args: []string{"start"}, says: `"start" is not a valid flag`},
		{name: "wrong value", env: []string{"ETCD_ELECTION_TIMEOUT=soon"}, says: "ETCD_ELECTION_TIMEOUT"},
		{name: "version", args: []string{"--version"}, env: []string{"ETCD_NAME=n1"}, want: func(o *Options) bool { return o.Version }},
		{name: "help", args: []string{"-h"}, want: func(o *Options) bool { return o.Help }},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, err := Parse(test.args, test.env)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case test.warns == "" && len(o.Warnings) > 0 || test.warns != "" && (len(o.Warnings) != 1 || !strings.Contains(o.Warnings[0], test.warns)):
				t.Errorf("it warns of %q", o.Warnings)
			case test.want != nil && !test.want(o):
				t.Errorf("got %+v", o)
			}
		})
	}
}
