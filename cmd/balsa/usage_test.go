package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestWrongUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"nonsense", "nonsense"},
		{"put a", "accepts 2 arg"},
		{"get", "accepts 1 arg"},
		{"get a --nonsense", "--nonsense"},
		{"get a --consistency some", "--consistency"},
		{"get a -o xml", "text or json"},
		{"get a --endpoints nowhere", "nowhere"},
		{"get a --timeout 0s", "--timeout"},
		{"get a --cacert /does/not/exist", "/does/not/exist"},
		{"put a 1 --version -1", "--version"},
		{"dev --nodes 2", "--nodes"},
		{"dev --base-port 65530", "--base-port"},
		{"dev --log-level loud", "--log-level"},
		{"dev --listen-metrics-urls nowhere", "--listen-metrics-urls"},
		{"dev --listen-metrics-urls http://127.0.0.1:0", "--listen-metrics-urls"},
		{"dev --listen-metrics-urls http://127.0.0.1:65534", "--listen-metrics-urls"},
		{"dev --listen-metrics-urls https://127.0.0.1:23810", "needs the certificate"},
		{"dev --enable-pprof", "--listen-metrics-urls"},
		{"serve --listen-metrics-urls https://127.0.0.1:23810", "needs the certificate"},
		{"serve --witness", "--join"},
		{"serve --learner", "--join"},
		{"serve --join 127.0.0.1:1 --witness --learner", "exclude each other"},
		{"serve --enable-pprof", "--listen-metrics-urls"},
		{"serve --config-file /does/not/exist", "/does/not/exist"},
		{"serve --log-format xml", "--log-format"},
	} {
		code, out, errs := balsa(t, "", strings.Fields(test.args)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, test.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: code %d, out %q, err %q", test.args, code, out, errs)
		}
	}
	if code, _, errs := balsa(t, "", "put", "", "1", "--endpoints=127.0.0.1:1"); code != exitUsage || !strings.Contains(errs, "key is empty") {
		t.Errorf("an empty key: %d %q", code, errs)
	}
}

// allCommands lists a command and all below it.
func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, allCommands(sub)...)
	}
	return all
}

func TestHelpFitsTheScreen(t *testing.T) {
	commands := allCommands((&program{}).root())
	if len(commands) < 12 {
		t.Fatalf("only %d commands", len(commands))
	}
	for _, c := range commands {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		code, out, _ := balsa(t, "", args...)
		if code != exitOK || out == "" {
			t.Errorf("%q: code %d", args, code)
		}
		if c.Parent() != nil && c.Parent().Name() == "completion" {
			continue // cobra's own text
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > helpWidth {
				t.Errorf("%q: a line of %d columns: %s", args, n, line)
			}
		}
	}
}

func TestSuggestions(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"statsu", `unknown command "statsu" for "balsa"; did you mean status?`},
		{"PUT a b", "did you mean put?"},
		{"set a b", "did you mean put?"},
		{"remove a", "did you mean del?"},
		{"list", "did you mean ls?"},
		{"dump", "did you mean export?"},
		{"load", "did you mean import?"},
		{"wacth a", "did you mean watch?"},
		{"lease grand 5", `unknown command "grand" for "balsa lease"; did you mean grant?`},
		{"start", "did you mean serve?"},
		{"bench ptu", `unknown command "ptu" for "balsa bench"; did you mean put?`},
		{"help statsu", "did you mean status?"},
		{"help bench ptu", "did you mean put?"},
		{"completion bsh", `unknown command "bsh" for "balsa completion"; did you mean bash?`},
		{"get a --time-out 5s", "unknown flag: --time-out; did you mean --timeout?"},
		{"serve --initial-clutser x", "did you mean --initial-cluster?"},
		{"bench put --caller 5", "did you mean --callers?"},
	} {
		code, out, errs := balsa(t, "", strings.Fields(test.args)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, test.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: code %d, out %q, err %q", test.args, code, out, errs)
		}
	}
	for _, far := range []string{"xyzzy", strings.Repeat("status", 100)} {
		if _, _, errs := balsa(t, "", far); strings.Contains(errs, "did you mean") {
			t.Errorf("%s is taken for something: %s", far, errs)
		}
	}
}

// The error of no bad value has words of the Go library in it: not of any flag, nor of any
// variable of the environment or key of a file: see TestServeRefusesBadConfiguration.
func TestBadValuesAreRefusedInPlainWords(t *testing.T) {
	for _, c := range allCommands((&program{}).root()) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			for _, bad := range []string{"x", "", "-1.5", "99999999999999999999999", `"`} {
				err := f.Value.Set(bad)
				if err == nil {
					continue
				}
				args := append(strings.Fields(c.CommandPath())[1:], "--"+f.Name+"="+bad)
				code, _, errs := balsa(t, "", args...)
				if code != exitUsage || !strings.Contains(errs, "--"+f.Name) || strings.Count(errs, "\n") != 1 || goish(errs) {
					t.Errorf("%q: code %d, err %q", args, code, errs)
				}
			}
		})
	}
}

// goish tells whether a text has words of the Go library in it.
func goish(text string) bool {
	for _, word := range []string{"strconv", "parsing", "time: ", "parse error", "yaml.Node", "unmarshal"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
