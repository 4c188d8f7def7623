package datadir

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/birth"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/vfs"
)

var (
	firstLife  = birth.Incarnation{0xb1}
	secondLife = birth.Incarnation{0xb2}
)

// The members of the cluster of these tests; n1 is the founder.
var ids = map[string]raft.NodeID{"n1": 1, "n2": 2, "n3": 3}

// owner is the member of a name, in a group of members.
func owner(name string, group uint64) Owner {
	return Owner{About: about(name), ID: ids[name], Group: group, Token: "t", Members: []raft.NodeID{1, 2, 3}, NameOf: raft.NodeID.String}
}

func about(name string) roster.About {
	return roster.About{Name: name, Peers: []string{name + ":1"}, Clients: []string{name + ":2", name + ":3"}}
}

// makeFile makes the file of a member in its first life.
func makeFile(t *testing.T, fs vfs.FS, name string) *MemberFile {
	t.Helper()
	if err := fs.MkdirAll(name, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := CreateMemberFile(fs, name, owner(name, 7), firstLife)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openFile(t *testing.T, fs vfs.FS, name string) (*MemberFile, error) {
	t.Helper()
	return OpenMemberFile(fs, name, owner(name, 7))
}

func reopen(t *testing.T, fs vfs.FS, name string) *MemberFile {
	t.Helper()
	l, err := openFile(t, fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// founder is what n1 says of itself before the cluster begins.
func founder(life birth.Incarnation) birth.Record {
	return birth.Record{Self: ids["n1"], Incarnation: life, Founder: life}
}

func hear(t *testing.T, l *MemberFile, r birth.Record) birth.Verdict {
	t.Helper()
	v, _, err := l.Hear(r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// begin lets files hear each other until their cluster has begun.
func begin(t *testing.T, files ...*MemberFile) {
	t.Helper()
	for range 3 {
		for _, l := range files {
			for _, other := range files {
				if l != other {
					hear(t, l, other.Record())
				}
			}
		}
	}
	for _, l := range files {
		if l.Record().Certificate == nil {
			t.Fatal("the cluster has not begun")
		}
	}
}

func TestMemberFileRemembersItsCluster(t *testing.T) {
	fs := crashfs.NewMem()
	var all []*MemberFile
	for _, name := range []string{"n1", "n2", "n3"} {
		all = append(all, makeFile(t, fs, name))
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
		begin(t, makeFile(t, fs, "n1"), makeFile(t, fs, "n2"), makeFile(t, fs, "n3"))
		seen[reopen(t, fs, "n2").Identity().ClusterID] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 births gave %d identities", len(seen))
	}
}

func TestMemberFileRemembersActivation(t *testing.T) {
	fs := crashfs.NewMem()
	makeFile(t, fs, "n2")
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

// TestMemberFileKeepsPromisesAcrossCrashes loses power before every operation on the
// file system. What a call promised by returning nil must be there afterwards.
func TestMemberFileKeepsPromisesAcrossCrashes(t *testing.T) {
	mem := crashfs.NewCrashableMem()
	if err := errors.Join(mem.MkdirAll("n2", 0o700), vfs.SyncDir(mem, "")); err != nil {
		t.Fatal(err)
	}
	born := founder(firstLife)
	born.Certificate = &birth.Certificate{Cluster: 7, Members: map[raft.NodeID]birth.Incarnation{
		ids["n1"]: firstLife, ids["n2"]: firstLife, ids["n3"]: firstLife,
	}}
	var created, bound, certified, active bool
	crashes := 0
	crash := func() {
		crashes++
		l, err := openFile(t, mem.CrashClone(crashfs.Crash{}), "n2")
		switch {
		case err != nil:
			t.Fatalf("crash %d: %v", crashes, err)
		case l == nil && created:
			t.Fatalf("crash %d: the file is gone", crashes)
		case bound && l.Record().Founder != firstLife:
			t.Fatalf("crash %d: the founder is forgotten", crashes)
		case certified && l.Identity().ClusterID != 7:
			t.Fatalf("crash %d: the cluster is forgotten", crashes)
		case active && !l.Active():
			t.Fatalf("crash %d: the activation is forgotten", crashes)
		}
	}
	fs := crashfs.Inject(mem, errorfs.InjectorFunc(func(errorfs.Op) error { crash(); return nil }))
	l, err := CreateMemberFile(fs, "n2", owner("n2", 7), firstLife)
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

func TestMemberFilePromisesNothingAfterAFailedWrite(t *testing.T) {
	var fail errorfs.Injector
	l := makeFile(t, crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
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
func TestMemberFileTellsNothingThatIsNotOnDisk(t *testing.T) {
	broken := false
	fs := crashfs.Inject(crashfs.NewMem(), errorfs.InjectorFunc(func(errorfs.Op) error {
		if broken {
			return errorfs.ErrInjected
		}
		return nil
	}))
	waiting := func(name string) birth.Record {
		return birth.Record{Self: ids[name], Incarnation: firstLife, Founder: firstLife}
	}
	n1, n2 := makeFile(t, fs, "n1"), makeFile(t, fs, "n2")
	hear(t, n1, waiting("n2"))
	broken = true
	for l, other := range map[*MemberFile]birth.Record{n1: waiting("n3"), n2: waiting("n1")} {
		before := fmt.Sprintf("%+v", l.Record())
		if _, _, err := l.Hear(other); err == nil {
			t.Error("a write that failed was no error")
		}
		if now := fmt.Sprintf("%+v", l.Record()); now != before {
			t.Errorf("tells %s, and on disk is %s", now, before)
		}
	}
}

func TestMemberFileRefuses(t *testing.T) {
	good := string(makeFile(t, crashfs.NewMem(), "n2").format())
	for _, test := range []struct {
		name, content string
		member        string
		group         uint64
		want          error
	}{
		{"another cluster", good, "n2", 8, ErrForeign},
		{"another member", good, "n1", 7, ErrForeign},
		{"an older format", "balsa members 1\nwhatever\n", "n2", 7, ErrOlderFormat},
		{"a newer format", "balsa members 4\nwhatever\n", "n2", 7, ErrNewerFormat},
		{"a strange format", "balsa members x\nwhatever\n", "n2", 7, ErrNewerFormat},
		{"a flipped bit", strings.Replace(good, "waiting", "waitinh", 1), "n2", 7, ErrDamaged},
		{"a short file", good[:len(good)/2], "n2", 7, ErrDamaged},
		{"an empty file", "", "n2", 7, ErrDamaged},
		{"another kind of file", "hello\n", "n2", 7, ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := crashfs.NewMem()
			if err := errors.Join(fs.MkdirAll("data", 0o700), vfs.WriteFile(fs, filepath.Join("data", memberFileName), []byte(test.content))); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenMemberFile(fs, "data", owner(test.member, test.group)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
