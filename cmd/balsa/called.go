package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// cached is the folder in which the go tool keeps a program that "go run" has built.
var cached = regexp.MustCompile(`^[0-9a-f]{64}-d$`)

// calledAs returns the command that runs this program again from the same folder. name is how it
// was called this time; "go run" calls it by the name of a temporary file.
func calledAs(name string) string {
	dir := filepath.Dir(name)
	if cached.MatchString(filepath.Base(dir)) || strings.Contains(dir, "go-build") && filepath.Base(dir) == "exe" {
		if _, err := os.Stat(filepath.Join("cmd", "balsa", "main.go")); err == nil {
			return "go run ./cmd/balsa"
		}
		return "go run balsa.example/cmd/balsa"
	}
	if name == "" {
		return "balsa"
	}
	if strings.ContainsAny(name, " '\"$\\`&;()") {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}
