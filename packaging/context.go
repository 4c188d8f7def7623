package main

import (
	"os"
	"path/filepath"
	"slices"
)

// writeContext makes a folder that "docker build", "podman build" and "buildah build" take, with
// the programs for all architectures and an empty folder for data: an image from scratch has no
// command to make one.
func writeContext(o options, programs []*program) error {
	programs = slices.DeleteFunc(slices.Clone(programs), func(p *program) bool { return p.os != "linux" })
	if len(programs) == 0 {
		return nil
	}
	context := filepath.Join(o.out, "container")
	if err := os.MkdirAll(filepath.Join(context, "data"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"Containerfile", "compose.yaml"} {
		if err := copyFile(filepath.Join(o.root, "packaging", "container", name), filepath.Join(context, name), 0o644); err != nil {
			return err
		}
	}
	for _, p := range programs {
		if err := copyFile(p.path, filepath.Join(context, p.platform(), "balsa"), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string, mode os.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}
