package member

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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
		"only itself to join":         func(c *Config) { c.Join = []string{"n1=127.0.0.1:1"} },
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

// One list of members to join may be that of all servers: nobody asks itself.
func TestNobodyAsksItselfToJoin(t *testing.T) {
	c := Config{Name: "n2", Join: []string{"n1=127.0.0.1:1", "n2=http://127.0.0.1:2", "127.0.0.1:3"}}
	if got, want := c.doors(), []door{{"n1", "127.0.0.1:1"}, {"", "127.0.0.1:3"}}; !slices.Equal(got, want) {
		t.Errorf("it asks %v, want %v", got, want)
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
