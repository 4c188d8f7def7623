package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// stamped is the version where the sources have no history to take it from: go build -ldflags
// "-X main.stamped=v1.2.3".
var stamped string

// build identifies this program.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
}

func thisBuild() build {
	b := build{Version: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(stamped, info.Main.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	if b.Commit == "" {
		return fmt.Sprintf("balsa %s %s", b.Version, b.Go)
	}
	return fmt.Sprintf("balsa %s (commit %.12s, %s) %s", b.Version, b.Commit, b.Time, b.Go)
}

func (p *program) version() *cobra.Command {
	var out output
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if out.isJSON() {
				return writeJSON(p.stdout, b)
			}
			_, err := fmt.Fprintln(p.stdout, b)
			return err
		},
	}
	out.addFlag(c)
	return c
}
