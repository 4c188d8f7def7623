package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// versionLines are those of Chart.yaml that a release sets.
var versionLines = regexp.MustCompile(`(?m)^(version|appVersion):.*$`)

// writeChart writes the chart with the version of the program, as "helm package" would.
func writeChart(o options, p *program) error {
	root := filepath.Join(o.root, "packaging", "helm", "balsa")
	var entries []entry
	err := filepath.WalkDir(root, func(source string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(root, source)
		if err != nil {
			return err
		}
		e := entry{name: path.Join("balsa", filepath.ToSlash(name)), source: source, mode: 0o644}
		if name == "Chart.yaml" {
			e.content, err = os.ReadFile(source)
			e.content = versionLines.ReplaceAll(e.content, []byte("$1: "+strings.TrimPrefix(p.version, "v")))
		}
		entries = append(entries, e)
		return err
	})
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(o.out, "balsa-chart-"+p.version+".tgz"))
	if err != nil {
		return err
	}
	return errors.Join(writeTarGz(f, entries, p.time), f.Close())
}
