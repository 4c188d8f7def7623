package balsa

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"balsa.example/internal/check/leak"
	"balsa.example/member"
)

// join starts a member that joins the trio.
func (c *trio) join(name string, change func(*Config[int, int])) *Node[int, int] {
	c.t.Helper()
	l := leak.Listen(c.t)
	cfg := Config[int, int]{
		Name: name, Address: l.Addr().String(), Dir: filepath.Join(c.dir, name+" "+l.Addr().String()), Codec: JSON[int]{},
		HeartbeatInterval: 25 * time.Millisecond, ElectionTimeout: 250 * time.Millisecond, listener: l, stopTimeout: patience,
	}
	for other, n := range c.nodes {
		self, _ := n.Member().Self()
		cfg.Join = append(cfg.Join, other+"="+self.Peers[0])
	}
	change(&cfg)
	c.configs[name] = cfg
	return c.start(name)
}

// awaitVoters waits until the members are those of the given names, and all vote.
func (c *trio) awaitVoters(by *Node[int, int], want string) {
	c.t.Helper()
	var got []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = nil
		if self, ok := by.Member().Self(); ok && self.Voter {
			got = append(got, self.Name)
		}
		for _, p := range by.Status().Peers {
			if p.Voter {
				got = append(got, p.Name)
			}
		}
		if strings.Join(got, " ") == want {
			return
		}
	}
	c.t.Fatalf("the voters are %v, want %s", got, want)
}

// A program joins with a state machine that is empty, and takes the place of one whose disk is lost.
func TestAMemberJoinsAndAnotherIsReplaced(t *testing.T) {
	for name, secret := range map[string]bool{"plain": false, "with a secret": true} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600); err != nil {
				t.Fatal(err)
			}
			protect := func(cfg *Config[int, int]) {
				if secret {
					cfg.SecretFile = file
				}
			}
			c := newTrio(t, protect)
			c.add("n1", 5, 5)
			n4 := c.join("n4", protect)
			await(t, "n4 takes part", n4.Ready())
			c.awaitVoters(n4, "n4 n1 n2 n3")
			c.add("n4", 2, 7)

			c.stop("n3")
			whole := c.configs["n3"]
			emptied := whole
			emptied.Dir += " emptied"
			c.configs["n3"] = emptied
			await(t, "an emptied directory is refused", c.start("n3").Failed())
			if err := c.nodes["n3"].Err(); !errors.Is(err, member.ErrNotAdmitted) || !strings.Contains(err.Error(), "Node.Member().Replace, and then Start with Config.Join") {
				t.Errorf("what a program can do is not said: %v", err)
			}
			c.stop("n3")
			c.configs["n3"] = whole
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := n4.Member().Replace(ctx, member.Who{Name: "n3"}, ""); err != nil {
				t.Fatal(err)
			}
			old := c.configs["n3"]
			n3 := c.join("n3", protect)
			c.awaitVoters(n3, "n3 n1 n2 n4")
			c.add("n3", 3, 10)

			c.stop("n3")
			c.configs["n3"] = old
			await(t, "the old directory is refused", c.start("n3").Failed())
			if err := c.nodes["n3"].Err(); !errors.Is(err, member.ErrRemoved) {
				t.Errorf("it says %v", err)
			}
		})
	}
}
