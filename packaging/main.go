package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// platforms are those that a release is for.
const platforms = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64,windows/arm64"

// options are the flags.
type options struct {
	root      string // of the repository
	out       string
	version   string // empty: that of the repository
	platforms []string
}

func main() {
	o := options{}
	flag.StringVar(&o.root, "root", "..", "folder of the repository")
	flag.StringVar(&o.out, "out", "../dist", "folder to write to; what an earlier release left there is removed")
	flag.StringVar(&o.version, "version", "", "version, as v1.2.3 (default: that of the repository)")
	only := flag.String("platforms", platforms, "what to build for, OS/ARCH,...")
	flag.Parse()
	o.platforms = strings.Split(*only, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := release(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

// release makes everything.
func release(ctx context.Context, o options) error {
	if err := emptied(o.out); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "balsa-packaging")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var programs []*program
	for _, platform := range o.platforms {
		p, err := build(ctx, o, platform, work)
		if err != nil {
			return err
		}
		fmt.Println("built", p.file())
		programs = append(programs, p)
	}
	manual, err := manualOf(o.root)
	if err != nil {
		return err
	}
	completions, err := completionsOf(ctx, o, work, programs)
	if err != nil {
		return err
	}
	pages, err := manPagesOf(o.root, work, programs[0].version)
	if err != nil {
		return fmt.Errorf("man pages: %w", err)
	}
	for _, p := range programs {
		if err := p.archive(o.out, manual); err != nil {
			return fmt.Errorf("archive for %s: %w", p.platform(), err)
		}
		if err := p.writeSBOM(o.out); err != nil {
			return fmt.Errorf("SBOM for %s: %w", p.platform(), err)
		}
		if p.os == "linux" {
			if err := p.packages(o, slices.Concat(manual, completions, pages)); err != nil {
				return err
			}
		}
	}
	if err := writeContext(o, programs); err != nil {
		return fmt.Errorf("container: %w", err)
	}
	if err := writeChart(o, programs[0]); err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	return writeSums(o.out)
}

// emptied makes a folder, and removes what an earlier release has left there. It refuses one that
// holds anything else.
func emptied(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		base := filepath.Base(name)
		if !strings.HasPrefix(base, "balsa") && base != sums && base != "container" {
			return fmt.Errorf("%s is not of a release: nothing is removed, and %s not used", name, dir)
		}
	}
	for _, name := range names {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return os.MkdirAll(dir, 0o755)
}

// sums is the file with the checksums of all others.
const sums = "SHA256SUMS"

// writeSums writes it in the form of sha256sum.
func writeSums(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "balsa*"))
	if err != nil {
		return err
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		hash := sha256.New()
		_, err = io.Copy(hash, f)
		f.Close()
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", hash.Sum(nil), filepath.Base(name))
	}
	return os.WriteFile(filepath.Join(dir, sums), []byte(text.String()), 0o644)
}
