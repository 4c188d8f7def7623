package member

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"balsa.example/raft"
)

func TestLogsShowMembersByName(t *testing.T) {
	cluster, err := NewCluster("t", map[string]string{"a": "h:1", "b": "h:2"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	x, y := NodeID("t", "a"), NodeID("t", "b")
	log := slog.New(naming{slog.NewTextHandler(&out, nil), cluster, "a"}).With("peer", y)
	log.Info("hello", "leader", x, "vote", raft.None, "stranger", raft.NodeID(77), "n", 3)
	log.With("id", x).Warn("to "+y.String(), "id", y, "error", fmt.Errorf("this is %s, not %s", x, y), "text", "from "+x.String(), "voters", raft.NewConfiguration(x, y).Voters)
	for i, want := range []string{
		"msg=hello peer=b leader=a vote=none stranger=n77 n=3",
		`msg="to b" peer=b id=b error="this is a, not b" text="from a" voters="[b a]"`,
	} {
		if got := strings.Split(out.String(), "\n")[i]; !strings.HasSuffix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestErrorsShowMembersByName(t *testing.T) {
	cluster, err := NewCluster("t", map[string]string{"a": "h:1", "b": "h:2"})
	if err != nil {
		t.Fatal(err)
	}
	err = cluster.ErrorWithNames(fmt.Errorf("%w: it is of %s", ErrForeign, NodeID("t", "b")))
	if want := ErrForeign.Error() + ": it is of b"; err.Error() != want || !errors.Is(err, ErrForeign) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := cluster.ErrorWithNames(nil); err != nil {
		t.Errorf("no error becomes %v", err)
	}
}

// Names are learned of those who become members later, and forgotten of those who were the first.
func TestNamesOfLaterMembersAreLearned(t *testing.T) {
	cluster := Running()
	for i := range maxNames + 1 {
		cluster.later.learn(raft.NodeID(1<<20+i), fmt.Sprint("m", i))
	}
	last := raft.NodeID(1<<20 + maxNames)
	if got, want := cluster.WithNames("to "+last.String()), fmt.Sprint("to m", maxNames); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := cluster.NameOf(1 << 20); got != raft.NodeID(1<<20).String() || len(cluster.later.byID) != maxNames {
		t.Errorf("the first is %q, of %d", got, len(cluster.later.byID))
	}
}
