package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/bench/cgroup"
	"balsa.example/bench/service"
)

// TestMain lets this test's program be a neighbour, as the real one can.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == neighbourCommand {
		exit(beNeighbour(os.Args[2:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestTheMeasurementsWork runs each measurement as small as shows that it works. Nothing is said of figures: they
// mean nothing at this size.
func TestTheMeasurementsWork(t *testing.T) {
	if testing.Short() {
		t.Skip("builds balsa")
	}
	program := filepath.Join(t.TempDir(), "balsa")
	if err := service.Build(t.Context(), program); err != nil {
		t.Fatal(err)
	}
	small := options{bytes: 4 << 20, value: 4 << 10, phase: 300 * time.Millisecond, every: 50 * time.Millisecond, balsa: program}
	limited := small
	limited.memory = 256 << 20
	tiny := small
	tiny.memory = 128 << 20
	for _, tt := range []struct {
		name, command string
		options
		want []string
	}{
		{"memory", "memory", limited, []string{"it runs", "puts of new keys:", "puts of random keys:", "processors of the clients and servers:", "gets of random keys:"}},
		{"follower", "follower", small, []string{"the disk writes", "the follower got", "half of the full load is held"}},
		{"longest", "longest", small, []string{"while files are written:", "while files are written anew:", "while files are received:", "written files anew"}},
		{"full", "full", tiny, []string{"the follower got", "no server is ended for want of memory"}},
		{"plain", "plain", small, []string{"p99 while a plain program copies", "p99 while the same, 100 MB/s", "p99 while three plain programs write", "p99 while three plain programs compute"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			tt.dir = filepath.Join(t.TempDir(), "all")
			err := run(t.Context(), []string{tt.command}, tt.options, &out)
			if tt.memory > 0 && errors.Is(err, cgroup.ErrUnavailable) {
				if tt.command == "full" {
					t.Skip(err)
				}
				t.Log(err)
				tt.memory = 0
				err = run(t.Context(), []string{tt.command}, tt.options, &out)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not print %q:\n%s", want, &out)
				}
			}
		})
	}
}

func TestWhatCannotBeMeasuredIsRefused(t *testing.T) {
	good := options{bytes: 1 << 30, value: 4 << 10, phase: time.Second}
	none := good
	none.phase = 0
	for _, tt := range []struct {
		name string
		args []string
		options
	}{
		{"no command", nil, good},
		{"an unknown command", []string{"all"}, good},
		{"two commands", []string{"memory", "longest"}, good},
		{"no time", []string{"memory"}, none},
		{"no limit to fill", []string{"full"}, good},
	} {
		if err := run(t.Context(), tt.args, tt.options, &strings.Builder{}); err == nil {
			t.Errorf("%s is no error", tt.name)
		}
	}
}
