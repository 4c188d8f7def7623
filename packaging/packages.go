package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

const (
	configFile = "/etc/balsa/balsa.yaml"
	unitFile   = "/usr/lib/systemd/system/balsa.service"
	docFolder  = "/usr/share/doc/balsa"
)

// packages writes a deb and an rpm. shared are files that do not depend on the platform: those of
// the manual, and others with an absolute name.
func (p *program) packages(o options, shared []entry) error {
	for _, format := range []string{"deb", "rpm"} {
		packager, err := nfpm.Get(format)
		if err != nil {
			return err
		}
		info := nfpm.WithDefaults(p.describe(o.root, shared))
		if format == "deb" {
			info.Depends = []string{"passwd"} // useradd
		} else {
			info.Depends = []string{"shadow-utils"}
		}
		f, err := os.Create(filepath.Join(o.out, packager.ConventionalFileName(info)))
		if err != nil {
			return err
		}
		if err := errors.Join(packager.Package(info, f), f.Close()); err != nil {
			return fmt.Errorf("%s for %s: %w", format, p.arch, err)
		}
	}
	return nil
}

// describe says what a package holds.
func (p *program) describe(root string, shared []entry) *nfpm.Info {
	linux := func(name string) string { return filepath.Join(root, "packaging", "linux", name) }
	contents := files.Contents{
		p.content(p.path, "/usr/bin/balsa", 0o755),
		p.content(linux("balsa.service"), unitFile, 0o644),
		p.content(linux("sysusers.conf"), "/usr/lib/sysusers.d/balsa.conf", 0o644),
		p.content(linux("balsa.yaml"), configFile, 0o644),
		p.content(linux("copyright"), path.Join(docFolder, "copyright"), 0o644),
	}
	contents[3].Type = files.TypeConfigNoReplace
	for _, e := range shared {
		destination := e.name
		if !path.IsAbs(destination) {
			destination = path.Join(docFolder, destination)
		}
		contents = append(contents, p.content(e.source, destination, 0o644))
	}
	return &nfpm.Info{
		Name: "balsa", Arch: p.arch, Platform: "linux", Version: p.version, Release: "1", Section: "database", Priority: "optional",
		Maintainer: "The balsa maintainers <maintainers@balsa.example>", License: "Apache-2.0", Homepage: "https://balsa.example",
		Description: "Fault-tolerant, linearizable key/value service\n" +
			"balsa keeps identical key/value databases on several servers, and serves them\nas long as a majority of the servers can talk to each other. It speaks the\netcd v3 API as well as its own.",
		MTime: p.time,
		Overridables: nfpm.Overridables{
			Contents: contents,
			Umask:    0o022,
			Scripts:  nfpm.Scripts{PostInstall: linux("postinst"), PreRemove: linux("prerm"), PostRemove: linux("postrm")},
			RPM:      nfpm.RPM{BuildHost: "balsa.example", Group: "System Environment/Daemons"},
		},
	}
}

func (p *program) content(source, destination string, mode os.FileMode) *files.Content {
	return &files.Content{Source: source, Destination: destination, FileInfo: &files.ContentFileInfo{Mode: mode, MTime: p.time, Owner: "root", Group: "root"}}
}

// completionsOf has a program of this machine write what shells complete its commands with.
func completionsOf(ctx context.Context, o options, work string, programs []*program) (all []entry, err error) {
	i := slices.IndexFunc(programs, func(p *program) bool { return p.os == runtime.GOOS && p.arch == runtime.GOARCH })
	var host *program
	if i >= 0 {
		host = programs[i]
	} else if host, err = build(ctx, o, runtime.GOOS+"/"+runtime.GOARCH, filepath.Join(work, "host")); err != nil {
		return nil, err
	}
	for shell, destination := range map[string]string{
		"bash": "/usr/share/bash-completion/completions/balsa",
		"zsh":  "/usr/share/zsh/vendor-completions/_balsa",
		"fish": "/usr/share/fish/vendor_completions.d/balsa.fish",
	} {
		text, err := exec.CommandContext(ctx, host.path, "completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("completion for %s: %w", shell, err)
		}
		source := filepath.Join(work, "completion."+shell)
		if err := os.WriteFile(source, text, 0o644); err != nil {
			return nil, err
		}
		all = append(all, entry{name: destination, source: source})
	}
	return all, nil
}
