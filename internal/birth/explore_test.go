package birth

import (
	"fmt"
	"slices"
	"testing"

	"balsa.example/raft"
)

// lives is how many directories a member has in these tests: the second is made when the
// first was emptied. Both may go on at once, which is more than emptying can do.
const lives = 2

// world is a set of directories. What a directory has ever said of itself may be heard at
// any time, any number of times, or never: so messages are lost, doubled, delayed and
// reordered in every way.
type world struct {
	members []raft.NodeID
	dirs    []*Birth
}

func newWorld(members, lives int) *world {
	w := &world{}
	for id := range members {
		w.members = append(w.members, raft.NodeID(id+1))
	}
	for life := range lives {
		for _, id := range w.members {
			w.dirs = append(w.dirs, New(w.members, Record{Self: id, Incarnation: Incarnation{byte(id), byte(life + 1)}}))
		}
	}
	return w
}

// fresh is the number that a directory draws.
func fresh(r Record) uint64 { return uint64(r.Incarnation[0])<<8 | uint64(r.Incarnation[1]) }

// clone copies a world. Certificates are shared: they never change.
func (w *world) clone() *world {
	c := &world{members: w.members}
	for _, d := range w.dirs {
		c.dirs = append(c.dirs, d.clone())
	}
	return c
}

func (b *Birth) clone() *Birth {
	c := New(b.members, b.record)
	for id, incarnation := range b.bound {
		c.bound[id] = incarnation
	}
	return c
}

// key tells worlds apart.
func (w *world) key() string {
	var key []byte
	for _, d := range w.dirs {
		key = AppendRecord(key, d.record)
		for _, id := range w.members {
			key = append(key, d.bound[id][1])
		}
	}
	return string(key)
}

// said returns all that a directory has said of itself so far.
func said(d *Birth) []Record {
	r := d.record
	all := []Record{r}
	if r.Certificate != nil {
		r.Certificate = nil
		all = append(all, r)
	}
	if r.Founder != (Incarnation{}) && !d.founds() {
		r.Founder = Incarnation{}
		all = append(all, r)
	}
	return all
}

// hear is Birth.Hear, or a mutant of it.
type hear func(d *Birth, r Record) Verdict

func sound(d *Birth, r Record) Verdict {
	v, _ := d.Hear(r, fresh(d.record))
	return v
}

// next returns all worlds that are one event away.
func (w *world) next(hear hear) []*world {
	var all []*world
	for i, d := range w.dirs {
		if len(d.bound) > 0 {
			c := w.clone()
			c.dirs[i] = New(w.members, d.record) // a crash: what is not durable is forgotten
			all = append(all, c)
		}
		for _, other := range w.dirs {
			if other.record.Self == d.record.Self {
				continue
			}
			for _, r := range said(other) {
				c := w.clone()
				hear(c.dirs[i], r)
				all = append(all, c)
			}
		}
	}
	return all
}

// explore visits all worlds that can come to be, until visit returns an error.
func explore(start *world, hear hear, visit func(*world) error) (visited int, err error) {
	seen := map[string]bool{start.key(): true}
	todo := []*world{start}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := visit(w); err != nil {
			return len(seen), err
		}
		for _, n := range w.next(hear) {
			if key := n.key(); !seen[key] {
				seen[key] = true
				todo = append(todo, n)
			}
		}
	}
	return len(seen), nil
}

// clusters returns the certificates that exist.
func (w *world) clusters() map[uint64]*Certificate {
	all := map[uint64]*Certificate{}
	for _, d := range w.dirs {
		if c := d.record.Certificate; c != nil {
			all[c.Cluster] = c
		}
	}
	return all
}

// check is what must always hold: a directory that has a certificate is in it; a certificate has all
// members; and two clusters have no directory in common. So there is a second
// cluster only when every member has lost its first directory.
func (w *world) check() error {
	for _, d := range w.dirs {
		r := d.record
		switch c := r.Certificate; {
		case c == nil:
		case len(c.Members) != len(w.members):
			return fmt.Errorf("a certificate names %d members", len(c.Members))
		case c.Members[r.Self] != r.Incarnation:
			return fmt.Errorf("directory %x has a certificate that names %x", r.Incarnation[:2], c.Members[r.Self])
		}
	}
	all := w.clusters()
	for x, a := range all {
		for y, b := range all {
			for _, id := range w.members {
				if x < y && a.Members[id] == b.Members[id] {
					return fmt.Errorf("directory %x is of clusters %x and %x", a.Members[id], x, y)
				}
			}
		}
	}
	return nil
}

func TestNoDirectoryIsEverOfTwoClusters(t *testing.T) {
	for _, members := range []int{1, 2, 3} {
		most := 0
		visited, err := explore(newWorld(members, lives), sound, func(w *world) error {
			most = max(most, len(w.clusters()))
			return w.check()
		})
		if err != nil {
			t.Errorf("%d members: %v", members, err)
		}
		if most != lives && members > 1 { // one alone needs Begin
			t.Errorf("%d members: %d clusters at most: second lives were not tried", members, most)
		}
		t.Logf("%d members: %d states", members, visited)
	}
}

// The test above can fail: it finds what these mistakes lead to.
func TestExploringFindsMistakes(t *testing.T) {
	for name, mutant := range map[string]hear{
		"a member that binds itself anew": func(d *Birth, r Record) Verdict {
			if r.Self == d.members[0] && d.record.Certificate == nil {
				d.record.Founder = Incarnation{}
			}
			return sound(d, r)
		},
		"a member that binds itself to nobody": func(d *Birth, r Record) Verdict {
			if founder := d.members[0]; d.record.Certificate == nil && d.record.Self != founder && r.Certificate != nil {
				d.record.Founder = r.Certificate.Members[founder]
			}
			if r.Self != d.members[0] && d.founds() {
				r.Founder = d.record.Incarnation
			}
			return sound(d, r)
		},
		"a founder that needs not all": func(d *Birth, r Record) Verdict {
			if d.founds() && d.record.Certificate == nil {
				last := d.members[len(d.members)-1]
				d.bound[last] = Incarnation{byte(last), 1}
			}
			return sound(d, r)
		},
		"a member that takes any certificate": func(d *Birth, r Record) Verdict {
			if d.record.Certificate == nil && r.Certificate != nil {
				d.record.Certificate = r.Certificate
			}
			return sound(d, r)
		},
	} {
		if _, err := explore(newWorld(3, lives), mutant, (*world).check); err == nil {
			t.Errorf("%s: not found", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// Whatever messages were lost and whatever members crashed before, a cluster begins when its members
// exchange messages, if none of its directories was emptied.
func TestAClusterBeginsOnceAllHearEachOther(t *testing.T) {
	for _, members := range []int{2, 3, 4} {
		visited, err := explore(newWorld(members, 1), sound, func(w *world) error {
			w = w.clone()
			for range 3 { // to bind, to answer, to take the certificate
				for _, d := range w.dirs {
					for _, other := range w.dirs {
						if d != other {
							sound(d, other.record)
						}
					}
				}
			}
			for _, d := range w.dirs {
				if d.record.Certificate == nil || len(d.Awaited()) > 0 {
					return fmt.Errorf("directory %x is unborn", d.record.Incarnation[:2])
				}
				for _, other := range w.dirs {
					if v := sound(d, other.record); d != other && v != Accepted {
						return fmt.Errorf("directory %x says %d to %x", d.record.Incarnation[:2], v, other.record.Incarnation[:2])
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%d members: %v", members, err)
		}
		t.Logf("%d members: %d states", members, visited)
	}
}

// An emptied member is refused by all, and knows it, as soon as the cluster has begun.
func TestAnEmptiedMemberIsRefused(t *testing.T) {
	w := newWorld(3, lives)
	first, second := w.dirs[:3], w.dirs[3:]
	for range 3 {
		for _, d := range first {
			for _, other := range first {
				if d != other {
					sound(d, other.record)
				}
			}
		}
	}
	for _, emptied := range second {
		for _, d := range first {
			if d.record.Self == emptied.record.Self {
				continue
			}
			if v := sound(d, emptied.record); v != OtherReplaced {
				t.Errorf("to an emptied member: %d", v)
			}
			if v := sound(emptied, d.record); v != SelfReplaced {
				t.Errorf("an emptied member: %d", v)
			}
		}
	}
	// If all but one member are emptied, these cannot begin without him, nor with him.
	for _, left := range first {
		for _, d := range second {
			for _, other := range slices.Concat(second, []*Birth{left}) {
				if d.record.Self != left.record.Self && other.record.Self != d.record.Self &&
					(other == left || other.record.Self != left.record.Self) {
					sound(d, other.record)
				}
			}
			if d.record.Certificate != nil {
				t.Error("a second cluster began beside a member of the first")
			}
		}
	}
}

// Members that would begin with different data never get into one cluster. Those of one kind do.
func TestNobodyBeginsWithOtherData(t *testing.T) {
	for name, origins := range map[string][]Origin{ // of the first lives, and then of the second
		"one differs":          {{1}, {1}, {2}, {1}, {1}, {2}},
		"one is empty":         {{1}, {}, {1}, {1}, {}, {1}},
		"the founder is empty": {{}, {1}, {1}, {}, {1}, {1}},
		"second lives differ":  {{1}, {1}, {1}, {2}, {2}, {2}},
	} {
		w := newWorld(3, lives)
		for i, d := range w.dirs {
			d.record.Origin = origins[i]
		}
		born := map[Origin]bool{}
		_, err := explore(w, sound, func(w *world) error {
			for _, d := range w.dirs {
				if c := d.record.Certificate; c != nil && c.Origin != d.record.Origin {
					return fmt.Errorf("a directory with %x is in a cluster of %x", d.record.Origin[:1], c.Origin[:1])
				} else if c != nil {
					born[c.Origin] = true
				}
			}
			return w.check()
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := name == "second lives differ"; want != (len(born) == 2) || !want && len(born) > 0 {
			t.Errorf("%s: clusters of %v", name, born)
		}
	}
}
