package main

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// noVersion is the version of sources without a repository of which Go makes one: a worktree beside
// it is none.
const noVersion = "v0.0.0-devel"

// program is balsa, built for one platform.
type program struct {
	os, arch string
	path     string
	version  string
	time     time.Time // of the commit, in UTC
	info     *debug.BuildInfo
}

// build builds it into a folder below work.
func build(ctx context.Context, o options, platform, work string) (*program, error) {
	p := &program{}
	var ok bool
	if p.os, p.arch, ok = strings.Cut(platform, "/"); !ok {
		return nil, fmt.Errorf("platform %q is not OS/ARCH", platform)
	}
	flags, vcs := "-s -w", "-buildvcs=true"
	if info, err := os.Stat(filepath.Join(o.root, ".git")); o.version == "" && (err != nil || !info.IsDir()) {
		o.version = noVersion
	}
	if o.version != "" {
		flags += " -X main.stamped=" + o.version
		vcs = "-buildvcs=auto"
	}
	p.path = filepath.Join(work, p.os+"-"+p.arch, p.executable())
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", vcs, "-ldflags", flags, "-o", p.path, "./cmd/balsa")
	cmd.Dir, cmd.Stderr = o.root, os.Stderr
	cmd.Env = append(environment(), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch)
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go build for %s: %w", platform, err)
	}
	var err error
	if p.info, err = buildinfo.ReadFile(p.path); err != nil {
		return nil, err
	}
	p.version = cmp.Or(o.version, p.info.Main.Version)
	p.time, err = commitTime(p.info)
	return p, err
}

// environment is that of commands, without what would change the bytes of a program. A repository
// that belongs to another user is none of git's business here.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"GOFLAGS", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140", "GOWORK"}, name)
	})
	return append(env, "GOWORK=off", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
}

// commitTime is the time that all files of a release have. Archives of zip begin with 1980.
func commitTime(info *debug.BuildInfo) (time.Time, error) {
	for _, setting := range info.Settings {
		if setting.Key == "vcs.time" {
			return time.Parse(time.RFC3339, setting.Value)
		}
	}
	return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), nil
}

func (p *program) platform() string { return p.os + "-" + p.arch }

// file is the name of files for this program, without an extension.
func (p *program) file() string { return "balsa-" + p.version + "-" + p.platform() }

func (p *program) executable() string {
	if p.os == "windows" {
		return "balsa.exe"
	}
	return "balsa"
}
