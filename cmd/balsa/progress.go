package main

import (
	"fmt"
	"io"
	"time"

	"balsa.example/internal/loadgen"
)

// progressInterval is how often long work tells how far it is.
const progressInterval = 5 * time.Second

// progress counts the keys of long work, and tells of them on the standard error.
type progress struct {
	to          io.Writer
	verb        string // "exported", "imported"
	told        time.Time
	keys, bytes int64
}

func newProgress(to io.Writer, verb string) *progress {
	return &progress{to: to, verb: verb, told: time.Now()}
}

// add counts a key that is done.
func (g *progress) add(key string, value []byte) {
	g.keys++
	g.bytes += int64(len(key) + len(value))
	if now := time.Now(); now.Sub(g.told) >= progressInterval {
		g.told = now
		fmt.Fprintf(g.to, "%s so far\n", g)
	}
}

func (g *progress) String() string {
	return fmt.Sprintf("%s %s keys, %.1f MiB", g.verb, loadgen.Thousands(g.keys), float64(g.bytes)/(1<<20))
}
