package server

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/birth"
	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/vfs"
)

var (
	firstLife  = birth.Incarnation{0xb1}
	secondLife = birth.Incarnation{0xb2}
)

// trio is a cluster of which these tests open ledgers; n1 is the founder.
func trioCluster(t *testing.T, token string) *Cluster {
	t.Helper()
	c, err := ParseCluster(token, "n1=http://h:1,n2=http://h:2,n3=http://h:3")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// makeLedger makes the ledger of a member in its first life.
func makeLedger(t *testing.T, fs vfs.FS, name string) *Ledger {
	t.Helper()
	if err := fs.MkdirAll(name, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := CreateLedger(fs, name, trioCluster(t, "t"), NodeID("t", name), firstLife)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openLedger(t *testing.T, fs vfs.FS, name string) (*Ledger, error) {
	t.Helper()
	return OpenLedger(fs, name, trioCluster(t, "t"), NodeID("t", name))
}

func reopen(t *testing.T, fs vfs.FS, name string) *Ledger {
	t.Helper()
	l, err := openLedger(t, fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// founder is what n1 says of itself before the cluster begins.
func founder(life birth.Incarnation) birth.Record {
	return birth.Record{Self: NodeID("t", "n1"), Incarnation: life, Founder: life}
}

func hear(t *testing.T, l *Ledger, r birth.Record) birth.Verdict {
	t.Helper()
	v, _, err := l.Hear(r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// begin lets ledgers hear each other until their cluster has begun.
func begin(t *testing.T, ledgers ...*Ledger) {
	t.Helper()
	for range 3 {
		for _, l := range ledgers {
			for _, other := range ledgers {
				if l != other {
					hear(t, l, other.Record())
				}
			}
		}
	}
	for _, l := range ledgers {
		if l.Record().Certificate == nil {
			t.Fatal("the cluster has not begun")
		}
	}
}

func TestLedgerRemembersItsCluster(t *testing.T) {
	fs := crashfs.NewMem()
	var all []*Ledger
	for _, name := range []string{"n1", "n2", "n3"} {
		all = append(all, makeLedger(t, fs, name))
	}
	if hear(t, all[1], founder(firstLife)); hear(t, reopen(t, fs, "n2"), founder(secondLife)) != birth.OtherFounder {
		t.Error("after a restart n2 has forgotten for whom it waits")
	}
	begin(t, all...)
	for _, l := range all {
		again := reopen(t, fs, l.dir)
		if got, want := fmt.Sprintf("%+v", again.Identity()), fmt.Sprintf("%+v", l.Identity()); got != want || again.Identity().ClusterID == 0 {
			t.Errorf("after a restart: %s, before %s", got, want)
		}
	}
	again := reopen(t, fs, "n3")
	if v := hear(t, again, all[0].Record()); v != birth.Accepted {
		t.Errorf("after a restart n1 gets %d", v)
	}
	if v := hear(t, again, founder(secondLife)); v != birth.OtherReplaced {
		t.Errorf("an emptied n1 gets %d", v)
	}
}

// Two clusters that are begun apart, alike in all that people say, have not one identity.
func TestNoTwoBirthsAreAlike(t *testing.T) {
	seen := map[uint64]bool{}
	for range 100 {
		fs := crashfs.NewMem()
		begin(t, makeLedger(t, fs, "n1"), makeLedger(t, fs, "n2"), makeLedger(t, fs, "n3"))
		seen[reopen(t, fs, "n2").Identity().ClusterID] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 births gave %d identities", len(seen))
	}
}

func TestLedgerRemembersActivation(t *testing.T) {
	fs := crashfs.NewMem()
	makeLedger(t, fs, "n2")
	l := reopen(t, fs, "n2")
	if l.Active() {
		t.Fatal("active before Activate")
	}
	if err := l.Activate(); err != nil {
		t.Fatal(err)
	}
	if l = reopen(t, fs, "n2"); !l.Active() || l.Identity().Incarnation != firstLife {
		t.Errorf("after Activate and a restart: active %t, identity %+v", l.Active(), l.Identity())
	}
}

// TestLedgerKeepsPromisesAcrossCrashes loses power before every operation on the
// file system. What a call promised by returning nil must be there afterwards.
func TestLedgerKeepsPromisesAcrossCrashes(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	if err := errors.Join(mem.MkdirAll("n2", 0o700), vfs.SyncDir(mem, "")); err != nil {
		t.Fatal(err)
	}
	born := founder(firstLife)
	born.Certificate = &birth.Certificate{Cluster: 7, Members: map[raft.NodeID]birth.Incarnation{
		NodeID("t", "n1"): firstLife, NodeID("t", "n2"): firstLife, NodeID("t", "n3"): firstLife,
	}}
	var created, bound, certified, active bool
	crashes := 0
	crash := func() {
		crashes++
		l, err := openLedger(t, mem.CrashClone(crashfs.Crash{}), "n2")
		switch {
		case err != nil:
			t.Fatalf("crash %d: %v", crashes, err)
		case l == nil && created:
			t.Fatalf("crash %d: the ledger is gone", crashes)
		case bound && l.Record().Founder != firstLife:
			t.Fatalf("crash %d: the founder is forgotten", crashes)
		case certified && l.Identity().ClusterID != 7:
			t.Fatalf("crash %d: the cluster is forgotten", crashes)
		case active && !l.Active():
			t.Fatalf("crash %d: the activation is forgotten", crashes)
		}
	}
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(errorfs.Op) error { crash(); return nil }))
	l, err := CreateLedger(fs, "n2", trioCluster(t, "t"), NodeID("t", "n2"), firstLife)
	created = err == nil
	_, _, err = l.Hear(founder(firstLife))
	bound = err == nil
	_, _, err = l.Hear(born)
	certified = err == nil
	active = l.Activate() == nil
	crash()
	if !created || !bound || !certified || !active || crashes < 20 {
		t.Errorf("created %t, bound %t, certified %t, active %t after %d crashes", created, bound, certified, active, crashes)
	}
}

func TestLedgerPromisesNothingAfterAFailedWrite(t *testing.T) {
	var fail errorfs.Injector
	l := makeLedger(t, crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if fail == nil {
			return nil
		}
		return fail.MaybeError(op)
	})), "n2")
	fail = errorfs.OnIndex(2) // a sync
	if _, _, err := l.Hear(founder(firstLife)); err == nil {
		t.Fatal("a founder that could not be recorded was heard")
	}
	if _, _, err := l.Hear(founder(firstLife)); err == nil {
		t.Error("the same founder was heard later, when nobody knows what is on disk")
	}
	if err := l.Activate(); err == nil {
		t.Error("activated, when nobody knows what is on disk")
	}
}

// What could not be written is not told: this server forgets it when it is started again,
// and a founder would then draw another cluster.
func TestLedgerTellsNothingThatIsNotOnDisk(t *testing.T) {
	broken := false
	fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
		if broken {
			return errorfs.ErrInjected
		}
		return nil
	}))
	waiting := func(name string) birth.Record {
		return birth.Record{Self: NodeID("t", name), Incarnation: firstLife, Founder: firstLife}
	}
	n1, n2 := makeLedger(t, fs, "n1"), makeLedger(t, fs, "n2")
	hear(t, n1, waiting("n2"))
	broken = true
	for l, other := range map[*Ledger]birth.Record{n1: waiting("n3"), n2: waiting("n1")} {
		before := fmt.Sprintf("%+v", l.Record())
		if _, _, err := l.Hear(other); err == nil {
			t.Error("a write that failed was no error")
		}
		if now := fmt.Sprintf("%+v", l.Record()); now != before {
			t.Errorf("tells %s, and on disk is %s", now, before)
		}
	}
}

func TestOpenLedgerRefuses(t *testing.T) {
	good := string(makeLedger(t, crashfs.NewMem(), "n2").format())
	for _, test := range []struct {
		name, content string
		token, member string
		want          error
	}{
		{"another cluster", good, "u", "n2", ErrForeign},
		{"another member", good, "t", "n1", ErrForeign},
		{"an older format", "balsa members 1\nwhatever\n", "t", "n2", ErrOlderFormat},
		{"a newer format", "balsa members 3\nwhatever\n", "t", "n2", ErrNewerFormat},
		{"a strange format", "balsa members x\nwhatever\n", "t", "n2", ErrNewerFormat},
		{"a flipped bit", strings.Replace(good, "waiting", "waitinh", 1), "t", "n2", ErrDamaged},
		{"a short file", good[:len(good)/2], "t", "n2", ErrDamaged},
		{"an empty file", "", "t", "n2", ErrDamaged},
		{"another kind of file", "hello\n", "t", "n2", ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := crashfs.NewMem()
			if err := errors.Join(fs.MkdirAll("data", 0o700), vfs.WriteFile(fs, filepath.Join("data", ledgerName), []byte(test.content))); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenLedger(fs, "data", trioCluster(t, test.token), NodeID(test.token, test.member)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
