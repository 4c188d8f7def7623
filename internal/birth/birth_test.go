package birth

import (
	"reflect"
	"testing"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

func names(ids []raft.NodeID) (s string) {
	for _, id := range ids {
		s += id.String()
	}
	return s
}

func TestAwaitedAreThoseWhoWereNotHeard(t *testing.T) {
	w := newWorld(3, 1)
	n1, n2, n3 := w.dirs[0], w.dirs[1], w.dirs[2]
	check := func(d *Birth, want string) {
		t.Helper()
		if got := names(d.Awaited()); got != want {
			t.Errorf("%s waits for %q, want %q", d.record.Self, got, want)
		}
	}
	check(n1, "n2n3")
	check(n2, "n1n3")
	sound(n1, n2.record)
	check(n1, "n2n3") // n2 is not bound yet
	sound(n2, n1.record)
	check(n2, "n3")
	sound(n1, n2.record)
	check(n1, "n3")
	sound(n3, n1.record)
	sound(n1, n3.record)
	check(n1, "")
}

func TestAClusterOfOneBeginsAtOnce(t *testing.T) {
	b := newWorld(1, 1).dirs[0]
	if !b.Begin(7) || b.record.Certificate.Cluster != 7 {
		t.Errorf("after Begin: %+v", b.record)
	}
	if b.Begin(8) || b.record.Certificate.Cluster != 7 {
		t.Errorf("after another: %+v", b.record)
	}
	if newWorld(2, 1).dirs[0].Begin(7) {
		t.Error("a cluster of two began with one")
	}
}

// Who waits for a lost directory of the founder, and the founder who made a new one, can
// both say so.
func TestAFounderThatWasEmptiedBeforeTheBirth(t *testing.T) {
	w := newWorld(3, lives)
	n1, n2, emptied := w.dirs[0], w.dirs[1], w.dirs[3]
	sound(n2, n1.record)
	if v := sound(n2, emptied.record); v != OtherFounder {
		t.Errorf("n2 says %d", v)
	}
	if v := sound(emptied, n2.record); v != OtherFounder {
		t.Errorf("n1 says %d", v)
	}
}

// What members say of themselves is in the certificate, as each of them said it last: so all
// members begin with one roster.
func TestTheCertificateHasWhatMembersSaidLast(t *testing.T) {
	w := newWorld(3, 1)
	n1, n2, n3 := w.dirs[0], w.dirs[1], w.dirs[2]
	at := func(name, address string) roster.About { return roster.About{Name: name, Peers: []string{address}} }
	n1.record.About, n2.record.About = at("a", "a:1"), at("b", "b:1")
	sound(n2, n1.record)
	sound(n3, n1.record)
	sound(n1, n2.record)
	n2.record.About = at("b", "moved:1")
	sound(n1, n2.record)
	sound(n1, n3.record)
	r, err := DecodeRecord(n1.record.Self, AppendRecord(nil, n1.record))
	if err != nil {
		t.Fatal(err)
	}
	sound(n3, r)
	want := map[raft.NodeID]roster.About{1: at("a", "a:1"), 2: at("b", "moved:1"), 3: {}}
	if got := n3.record.Certificate; got == nil || !reflect.DeepEqual(got.Abouts, want) {
		t.Errorf("the certificate is %+v", got)
	}
}

// A member that joined later has no certificate of the birth to give.
func TestWhoJoinedLaterBringsNobodyIntoTheCluster(t *testing.T) {
	w := newWorld(3, 1)
	r, err := DecodeRecord(9, AppendRecord(nil, Joined(9, Incarnation{9}, 7, roster.About{Name: "i", Peers: []string{"i:1"}})))
	if err != nil || r.Certificate == nil || r.Certificate.Cluster != 7 || r.Of().Name != "i" {
		t.Fatalf("decoded: %+v (%v)", r, err)
	}
	n2 := w.dirs[1]
	sound(n2, w.dirs[0].record)
	if v := sound(n2, r); v != Unborn || n2.record.Certificate != nil {
		t.Errorf("n2 says %d, with %+v", v, n2.record.Certificate)
	}
}

// The bytes that older programs write, and read, where members say nothing of themselves.
func TestARecordWithoutAboutsIsAsEver(t *testing.T) {
	r := Record{Self: 1, Incarnation: Incarnation{1}, Founder: Incarnation{2}}
	if n := len(AppendRecord(nil, r)); n != 42 {
		t.Errorf("%d bytes without a certificate", n)
	}
	r.Certificate = &Certificate{Cluster: 7, Members: map[raft.NodeID]Incarnation{1: {1}, 2: {2}}}
	if n := len(AppendRecord(nil, r)); n != 42+2*24 {
		t.Errorf("%d bytes with a certificate", n)
	}
	if n := len(AppendRecord(nil, Joined(9, Incarnation{9}, 7, roster.About{}))); n != 42 {
		t.Errorf("%d bytes of a member that joined later", n)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	w := newWorld(3, 1)
	w.dirs[0].record.About = roster.About{Name: "n1", Peers: []string{"a:1"}}
	f.Add(AppendRecord(nil, Joined(1, Incarnation{1}, 7, w.dirs[0].record.About)))
	for range 3 {
		for _, d := range w.dirs {
			for _, other := range w.dirs {
				if d != other {
					f.Add(AppendRecord(nil, d.record))
					sound(d, other.record)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(1, b)
		if err != nil {
			return
		}
		if again := AppendRecord(nil, r); len(again) != len(b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
