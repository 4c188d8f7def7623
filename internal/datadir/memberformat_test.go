package datadir

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"reflect"
	"testing"

	"balsa.example/internal/birth"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/vfs"
)

func TestMemberFileHasWhatMembersSaidAtTheBirth(t *testing.T) {
	fs := crashfs.NewMem()
	var all []*MemberFile
	for _, name := range []string{"n1", "n2", "n3"} {
		all = append(all, makeFile(t, fs, name))
	}
	begin(t, all...)
	want := map[raft.NodeID]roster.About{1: about("n1"), 2: about("n2"), 3: about("n3")}
	for _, l := range all {
		if got := reopen(t, fs, l.dir).Record().Certificate.Abouts; !reflect.DeepEqual(got, want) {
			t.Errorf("after a restart %s has %+v", l.dir, got)
		}
	}
	first := all[0].Beginning()
	if r, err := roster.Decode(first.Context); err != nil || len(r.Members) != 3 || r.Members[2].Name != "n3" || r.Members[2].Incarnation != firstLife {
		t.Errorf("the first roster is %+v (%v)", r, err)
	}
	for _, l := range all {
		if conf := reopen(t, fs, l.dir).Beginning(); !conf.Equal(first) {
			t.Errorf("the log of %s begins with %s, and that of n1 with %s", l.dir, conf, first)
		}
	}
}

// old is a file of version 2, of n2 in a cluster of three.
func old(state string, born bool) string {
	text := "balsa members 2\nself 0000000000000002 b1000000000000000000000000000000 of 0000000000000007 " + state +
		"\nfounder b1000000000000000000000000000000\n"
	if born {
		text += "cluster 0000000000000009\n"
		for id := 1; id <= 3; id++ {
			text += fmt.Sprintf("member %016x b1000000000000000000000000000000\n", id)
		}
	}
	return text + fmt.Sprintf("crc %08x\n", crc32.Checksum([]byte(text), castagnoli))
}

func write(t *testing.T, fs vfs.FS, dir, content string) {
	t.Helper()
	if err := errors.Join(fs.MkdirAll(dir, 0o700), vfs.WriteFile(fs, filepath.Join(dir, memberFileName), []byte(content))); err != nil {
		t.Fatal(err)
	}
}

func TestMemberFileOfVersion2GoesOn(t *testing.T) {
	fs := crashfs.NewMem()
	for _, state := range []string{"waiting", "active"} {
		for _, born := range []bool{false, true} {
			write(t, fs, "n2", old(state, born))
			if _, err := OpenMemberFile(fs, "n2", owner("n2", 8)); !errors.Is(err, ErrForeign) {
				t.Errorf("of another cluster: %v", err)
			}
			l := reopen(t, fs, "n2")
			if b, err := vfs.ReadFile(fs, filepath.Join("n2", memberFileName)); err != nil || string(b) != old(state, born) {
				t.Errorf("opening it has changed it to %q, %v: the program of before could not go on", b, err)
			}
			if err := l.Renew(); err != nil {
				t.Fatal(err)
			}
			again := reopen(t, fs, "n2")
			if !reflect.DeepEqual(again.Record(), l.Record()) || again.Active() != (state == "active") || again.Token() != "t" || again.Group() != 7 {
				t.Errorf("%s, born %t: became %+v", state, born, again.said)
			}
			if born && (again.Identity().ClusterID != 9 || again.Record().Certificate.Abouts != nil) {
				t.Errorf("the certificate became %+v", again.Record().Certificate)
			}
			if born && !again.Beginning().Equal(raft.NewConfiguration(1, 2, 3)) {
				t.Errorf("its log begins with %s", again.Beginning())
			}
		}
	}
}

// Members may be others than at the birth, so the initial members count only until then.
func TestInitialMembersCountUntilTheBirth(t *testing.T) {
	fs := crashfs.NewMem()
	var all []*MemberFile
	for _, name := range []string{"n1", "n2", "n3"} {
		all = append(all, makeFile(t, fs, name))
	}
	others := owner("n2", 8)
	if _, err := OpenMemberFile(fs, "n2", others); !errors.Is(err, ErrForeign) {
		t.Errorf("before the birth: %v", err)
	}
	begin(t, all...)
	for _, o := range []Owner{others, {About: about("n2"), NameOf: raft.NodeID.String}, {About: about("n2"), Joins: true, NameOf: raft.NodeID.String}} {
		if _, err := OpenMemberFile(fs, "n2", o); err != nil {
			t.Errorf("after the birth: %v", err)
		}
	}
	others.Token = "another"
	if _, err := OpenMemberFile(fs, "n2", others); !errors.Is(err, ErrForeign) {
		t.Errorf("with another token: %v", err)
	}
	if _, err := OpenMemberFile(fs, "n2", owner("n3", 7)); !errors.Is(err, ErrForeign) {
		t.Errorf("by another member: %v", err)
	}
}

func TestMemberFileOfAMemberThatJoins(t *testing.T) {
	fs := crashfs.NewMem()
	if err := fs.MkdirAll("n4", 0o700); err != nil {
		t.Fatal(err)
	}
	joins := Owner{About: about("n4"), Joins: true, NameOf: raft.NodeID.String}
	if _, err := CreateMemberFile(fs, "n4", joins, firstLife); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMemberFile(fs, "n4", Owner{About: about("n4"), ID: 4, NameOf: raft.NodeID.String}); !errors.Is(err, ErrForeign) {
		t.Errorf("as an initial member: %v", err)
	}
	l, err := OpenMemberFile(fs, "n4", joins)
	if err != nil || !l.Joining() || l.Record().Incarnation != firstLife || l.Record().Certificate != nil {
		t.Fatalf("after a restart: %+v (%v)", l, err)
	}
	peers := []roster.Member{{ID: 1, About: about("n1"), Incarnation: firstLife}, {ID: 2, About: about("n 2"), Incarnation: secondLife}}
	if err := l.Join(Membership{ID: 44, Cluster: 9, Group: 7, Token: "t", Peers: peers}); err != nil {
		t.Fatal(err)
	}
	if l, err = OpenMemberFile(fs, "n4", joins); err != nil {
		t.Fatal(err)
	}
	if id := l.Identity(); id.ClusterID != 9 || id.NodeID != 44 || id.Incarnation != firstLife {
		t.Errorf("it is %+v", id)
	}
	if l.Joining() || l.Group() != 7 || l.Token() != "t" || !reflect.DeepEqual(l.Peers(), peers) {
		t.Errorf("it says %+v", l.said)
	}
	if conf := l.Beginning(); conf.HasVoters() {
		t.Errorf("its log begins with %+v", conf)
	}
}

func FuzzParseMemberFile(f *testing.F) {
	f.Add([]byte(old("active", true)))
	f.Fuzz(func(t *testing.T, b []byte) {
		said, err := parseMemberFile(b)
		if err != nil || said.version != memberFileVersion {
			return
		}
		l := &MemberFile{birth: birth.New(nil, said.record), said: said}
		if _, err := parseMemberFile(l.format()); err != nil {
			t.Errorf("%q became %q: %v", b, l.format(), err)
		}
	})
}
