package roster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"balsa.example/raft"
)

func sample() Roster {
	r := Roster{}
	for i := range 3 {
		n := i + 1
		r = r.With(Member{
			ID: raft.NodeID(n), Incarnation: Incarnation{byte(n)},
			About: About{fmt.Sprintf("n%d", n), []string{fmt.Sprintf("http://10.0.0.%d:2380", n)}, []string{fmt.Sprintf("http://10.0.0.%d:2379", n)}},
		})
	}
	return r.With(Member{ID: 9, About: About{Name: "n3", Peers: []string{"a:1", "b:1"}}, Promote: true, Replaces: 3}).Without(2)
}

func TestARosterIsDecodedAsItWasEncoded(t *testing.T) {
	for _, r := range []Roster{sample(), {Members: []Member{{ID: 1}}}} {
		got, err := Decode(Append(nil, r))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v became %+v (%v)", r, got, err)
		}
	}
	if r, err := Decode(nil); err != nil || !r.Empty() {
		t.Errorf("no bytes became %+v (%v)", r, err)
	}
}

// The bytes are in logs and snapshots: another layout needs another version.
func TestTheEncodingStaysAsItIs(t *testing.T) {
	const golden = "testdata/roster.txt"
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(Append(nil, sample())) + "\n"; got != string(want) {
		t.Errorf("%s would be\n%s", golden, got)
	}
}

func TestWhatIsNoRosterIsRefused(t *testing.T) {
	good := Append(nil, sample())
	for i := 1; i < len(good); i++ {
		if _, err := Decode(good[:i]); !errors.Is(err, ErrDecode) {
			t.Errorf("the first %d bytes: %v", i, err)
		}
	}
	newer := bytes.Clone(good)
	newer[0]++
	for name, b := range map[string][]byte{
		"a newer version":   newer,
		"more bytes":        append(bytes.Clone(good), 0),
		"a member twice":    Append(nil, Roster{Members: []Member{{ID: 1}, {ID: 1}}}),
		"members unordered": Append(nil, Roster{Members: []Member{{ID: 2}, {ID: 1}}}),
		"no id":             Append(nil, Roster{Members: []Member{{}}}),
	} {
		if _, err := Decode(b); !errors.Is(err, ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What members say of themselves must fit into a card of the handshake (28 KiB), all of it
// together, and into an entry of the log.
func TestARosterIsBounded(t *testing.T) {
	r := Roster{}
	long := About{Name: strings.Repeat("n", MaxName), Peers: []string{strings.Repeat("p", 500)}}
	if err := long.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range MaxMembers {
		r = r.With(Member{ID: raft.NodeID(math.MaxUint64 - uint64(i)), About: long})
	}
	for i := range 2 * MaxRemoved {
		r = r.Without(raft.NodeID(i + 1))
	}
	b := Append(nil, r)
	if len(b) > 32<<10 || len(r.Removed) != MaxRemoved || r.WasRemoved(MaxRemoved) || !r.WasRemoved(MaxRemoved+1) {
		t.Errorf("%d bytes, %d removed", len(b), len(r.Removed))
	}
	if _, err := Decode(b); err != nil {
		t.Error(err)
	}
	for _, more := range []Roster{r.With(Member{ID: 1}), {Members: r.Members, Removed: make([]raft.NodeID, MaxRemoved+1)}} {
		if _, err := Decode(Append(nil, more)); !errors.Is(err, ErrDecode) {
			t.Errorf("a roster above the bounds is decoded: %v", err)
		}
	}
	for _, about := range []About{
		{Name: strings.Repeat("n", MaxName+1)}, {Peers: []string{""}}, {Clients: []string{"a:1", ""}},
		{Name: "n", Peers: []string{strings.Repeat("p", MaxAbout)}},
	} {
		if err := about.Check(); err == nil {
			t.Errorf("%+v is taken", about)
		}
	}
}

func TestARemovedMemberIsReplacedByNobody(t *testing.T) {
	r := sample().Without(3)
	if m, _ := r.Find(9); m.Replaces != raft.None {
		t.Errorf("it replaces %s", m.Replaces)
	}
	if _, ok := r.Find(3); ok || !r.WasRemoved(3) || !r.WasRemoved(2) || len(r.Named("n3")) != 1 {
		t.Errorf("after the removal: %+v", r)
	}
}

func TestTheUnionHasBothAndTheFirstWins(t *testing.T) {
	old := sample()
	moved := old.Members[0]
	moved.Peers = []string{"moved:1"}
	latest := old.With(moved).Without(9)
	u := latest.Union(old)
	if m, _ := u.Find(moved.ID); m.Peers[0] != "moved:1" {
		t.Errorf("the address is %s", m.Peers)
	}
	if _, ok := u.Find(9); !ok || len(u.Members) != 3 {
		t.Errorf("the union is %+v", u)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, sample()))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil || len(b) == 0 {
			return
		}
		again, err := Decode(Append(nil, r))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%x became %+v, then %+v (%v)", b, r, again, err)
		}
	})
}
