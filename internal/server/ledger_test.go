package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/internal/wal"
	"balsa/raft"
)

var (
	self       = wal.Identity{ClusterID: 0xc1, NodeID: 1, Incarnation: Incarnation{0xa1}}
	firstLife  = Incarnation{0xb1}
	secondLife = Incarnation{0xb2}
)

func newLedger(t *testing.T, fs vfs.FS) *Ledger {
	t.Helper()
	if err := fs.MkdirAll("data", 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := CreateLedger(fs, "data", self)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func reopen(t *testing.T, fs vfs.FS) *Ledger {
	t.Helper()
	l, err := OpenLedger(fs, "data", self.ClusterID, self.NodeID)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedgerRefusesASecondIncarnation(t *testing.T) {
	fs := vfs.NewMem()
	l := newLedger(t, fs)
	check := func(when string) {
		t.Helper()
		if err := l.Admit(2, firstLife); err != nil {
			t.Errorf("%s: the first incarnation is refused: %v", when, err)
		}
		if err := l.Admit(2, secondLife); !errors.Is(err, ErrIncarnation) {
			t.Errorf("%s: the second incarnation gets %v", when, err)
		}
	}
	check("at first")
	l = reopen(t, fs)
	check("after a restart")
	if err := l.Admit(3, secondLife); err != nil {
		t.Errorf("another member is refused: %v", err)
	}
}

func TestLedgerRemembersActivation(t *testing.T) {
	fs := vfs.NewMem()
	newLedger(t, fs)
	l := reopen(t, fs)
	if l.Active() {
		t.Fatal("active before Activate")
	}
	if err := l.Activate(); err != nil {
		t.Fatal(err)
	}
	l = reopen(t, fs)
	if !l.Active() || l.Identity() != self {
		t.Errorf("after Activate and a restart: active %t, identity %+v", l.Active(), l.Identity())
	}
}

// TestLedgerKeepsPromisesAcrossCrashes loses power before every operation on the
// file system. What a call promised by returning nil must be there afterwards.
func TestLedgerKeepsPromisesAcrossCrashes(t *testing.T) {
	mem := vfs.NewCrashableMem()
	if err := errors.Join(mem.MkdirAll("data", 0o700), syncDir(mem, "")); err != nil {
		t.Fatal(err)
	}
	var created, admitted, active bool
	crashes := 0
	crash := func() {
		crashes++
		l, err := OpenLedger(mem.CrashClone(vfs.CrashCloneCfg{}), "data", self.ClusterID, self.NodeID)
		switch {
		case err != nil:
			t.Fatalf("crash %d: %v", crashes, err)
		case l == nil && created:
			t.Fatalf("crash %d: the ledger is gone", crashes)
		case admitted && !errors.Is(l.Admit(2, secondLife), ErrIncarnation):
			t.Fatalf("crash %d: the incarnation of member 2 is forgotten", crashes)
		case active && !l.Active():
			t.Fatalf("crash %d: the activation is forgotten", crashes)
		}
	}
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(errorfs.Op) error { crash(); return nil }))
	l, err := CreateLedger(fs, "data", self)
	created = err == nil
	admitted = l.Admit(2, firstLife) == nil
	active = l.Activate() == nil
	crash()
	if !created || !admitted || !active || crashes < 15 {
		t.Errorf("created %t, admitted %t, active %t after %d crashes", created, admitted, active, crashes)
	}
}

func TestLedgerPromisesNothingAfterAFailedWrite(t *testing.T) {
	var fail errorfs.Injector
	mem := vfs.NewMem()
	l := newLedger(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail == nil {
			return nil
		}
		return fail.MaybeError(op)
	})))
	fail = errorfs.OnIndex(2) // a sync
	if err := l.Admit(2, firstLife); err == nil {
		t.Fatal("an incarnation that could not be recorded was admitted")
	}
	if err := l.Admit(2, firstLife); err == nil {
		t.Error("the same incarnation was admitted later, when nobody knows what is on disk")
	}
	if err := l.Activate(); err == nil {
		t.Error("activated, when nobody knows what is on disk")
	}
}

func TestOpenLedgerRefuses(t *testing.T) {
	good := string((&Ledger{self: self}).format())
	for _, test := range []struct {
		name, content string
		cluster       uint64
		node          raft.NodeID
		want          error
	}{
		{"another cluster", good, 0xc2, self.NodeID, ErrForeign},
		{"another member", good, self.ClusterID, 2, ErrForeign},
		{"a newer format", "balsa members 2\nwhatever\n", self.ClusterID, self.NodeID, ErrNewerFormat},
		{"a flipped bit", strings.Replace(good, "waiting", "waitinh", 1), self.ClusterID, self.NodeID, ErrDamaged},
		{"a short file", good[:len(good)/2], self.ClusterID, self.NodeID, ErrDamaged},
		{"an empty file", "", self.ClusterID, self.NodeID, ErrDamaged},
		{"another kind of file", "hello\n", self.ClusterID, self.NodeID, ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := vfs.NewMem()
			if err := errors.Join(fs.MkdirAll("data", 0o700), writeFile(fs, "data", ledgerName, []byte(test.content))); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenLedger(fs, "data", test.cluster, test.node); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
