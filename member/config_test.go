package member

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/roster"
)

// What is wrong with a Config is found before a directory is made.
func TestOpenRefusesABadConfig(t *testing.T) {
	cluster, err := NewCluster("t", map[string]string{"n1": "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Config){
		"no name":                     func(c *Config) { c.Name = "" },
		"a name of nobody's":          func(c *Config) { c.Name = "n2" },
		"no directory":                func(c *Config) { c.Dir = "" },
		"no cluster":                  func(c *Config) { c.Cluster = nil },
		"a negative election timeout": func(c *Config) { c.ElectionTimeout = -time.Second },
		"long attributes":             func(c *Config) { c.Attributes = make([]byte, maxAttributes+1) },
		"long addresses":              func(c *Config) { c.Clients = []string{strings.Repeat("a", roster.MaxAbout)} },
		"negative handshakes":         func(c *Config) { c.MaxHandshakes = -1 },
	} {
		dir := filepath.Join(t.TempDir(), "d")
		cfg := Config{Name: "n1", Cluster: cluster, Dir: dir, Listen: "127.0.0.1:0"}
		change(&cfg)
		m, err := Open(cfg)
		if err == nil {
			m.Close()
		}
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a directory was made", what)
		}
	}
}

// The longest names and attributes are taken.
func TestOpenTakesTheLongest(t *testing.T) {
	name := strings.Repeat("n", roster.MaxName)
	cluster, err := NewCluster("t", map[string]string{name: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(Config{Name: name, Cluster: cluster, Dir: t.TempDir(), Listen: "127.0.0.1:0", Attributes: make([]byte, maxAttributes)})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
}
