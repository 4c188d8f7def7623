package sim

import (
	"encoding/binary"
	"errors"
	"slices"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// This file is the data directories of members, each with its incarnation, and servers that are started
// with an empty one. The roster in each configuration has the incarnation of each member's directory.
// What decides whether a server is that member, and which id it gets if it joins, is package roster.

// firstIncarnation is that of the first directory of a node.
func firstIncarnation(id raft.NodeID) roster.Incarnation { return roster.Incarnation{byte(id), 1} }

// firstRoster is the one at the birth of the cluster.
func firstRoster(ids []raft.NodeID) (r roster.Roster) {
	for _, id := range ids {
		r = r.With(roster.Member{ID: id, About: roster.About{Name: id.String()}, Incarnation: firstIncarnation(id)})
	}
	return r
}

// contextOf is the Context of a configuration: the number of its change, and the roster.
func contextOf(change int, r roster.Roster) []byte {
	return roster.Append(binary.LittleEndian.AppendUint32(nil, uint32(change)), r)
}

func changeOf(c raft.Configuration) int { return int(binary.LittleEndian.Uint32(c.Context)) }

// roster is that of a configuration; a node that has none knows nobody.
func (w *world) roster(c raft.Configuration) roster.Roster {
	if len(c.Context) == 0 {
		return roster.Roster{}
	}
	r, err := roster.Decode(c.Context[4:])
	if err != nil {
		w.failf("codec", "%v", err)
	}
	return r
}

// rosterOf is that of a configuration which is to follow another one. It has one already if a server
// joins by it.
func (w *world) rosterOf(before, next raft.Configuration) roster.Roster {
	r := w.roster(before)
	if len(next.Context) > 0 && !next.Equal(before) {
		r = w.roster(next)
	}
	for _, id := range next.Members() {
		if _, ok := r.Find(id); !ok {
			r = r.With(roster.Member{ID: id, About: roster.About{Name: id.String()}, Incarnation: w.node(id).incarnation})
		}
	}
	for _, m := range r.Members {
		if !next.Contains(m.ID) {
			r = r.Without(m.ID)
		}
	}
	return r
}

// rosterCommitted checks that the members of a configuration are admitted. A new one is admitted from now
// on with the directory that the roster names.
func (k *checker) rosterCommitted(c raft.Configuration) {
	r := k.w.roster(c)
	for _, id := range c.Members() {
		n := k.w.node(id)
		if m, ok := r.Find(id); ok && !n.first() && !k.wereMembers[id] {
			n.incarnation = m.Incarnation
		}
		if !c.Voters.IsJoint() && !n.fatal && r.Standing(id, n.incarnation) != roster.Admitted {
			k.w.failf("admission", "%s is a member by %s, and not by its roster %v", id, c, r)
		}
	}
}

// emptyDirectory loses the directory of a node, if the others can do without, and starts a server of its
// name with an empty one.
func (w *world) emptyDirectory(n *node, _ Injection) bool {
	if !n.born || n.gone || !w.conf().Contains(n.id) || !w.mayDamage(n) {
		return false
	}
	n.crash(true)
	n.lostDisk, n.disk, n.fatal = n.disk, newDisk(w, n.id, n.birth()), true
	n.incarnation[1]++
	w.meanwhile(w.upTo(milliseconds(500)), func() { n.knock(100) })
	return true
}

// knock lets a server with an empty directory ask a member whether it is the one of its id. One that is
// takes part. One that is not joins under another id, when a member of its name is removed.
func (n *node) knock(tries int) {
	w := n.w
	if tries == 0 {
		return
	}
	again := func() { w.meanwhile(w.upTo(milliseconds(200)), func() { n.knock(tries - 1) }) }
	at := w.nodes[w.rand.IntN(len(w.nodes))]
	if at == n || !at.up() || at.paused || !w.net.connected(n.id, at.id) || !w.net.connected(at.id, n.id) {
		again()
		return
	}
	latest, _, _ := at.replica.Configurations()
	r := w.roster(latest)
	joined := slices.ContainsFunc(r.Members, func(m roster.Member) bool { return m.Incarnation == n.incarnation && m.ID != n.id })
	switch r.Standing(n.id, n.incarnation) {
	case roster.Admitted:
		w.trace.text(w.now, n.id, "admitted", "by %s, with an empty directory", at.id)
		n.fatal = false
		n.start()
	case roster.Replaced, roster.Unknown:
		if w.check.counts.NotAdmitted++; !joined {
			w.wish(n.join, 40, func() { n.knock(tries - 1) })
		}
	default:
		again()
	}
}

// join adds a server with an empty directory to a configuration, under the id of a spare node. If its
// name is that of a member, that one is removed first.
func (n *node) join(c raft.Configuration) (raft.Configuration, error) {
	w, was, fresh := n.w, c, raft.None
	if spare := w.spare(c); spare != nil && spare.witness == n.witness {
		fresh = spare.id
	}
	c.Context = c.Context[4:]
	add := roster.Change{Kind: roster.Add, About: roster.About{Name: n.id.String()}, Incarnation: n.incarnation, Witness: n.witness}
	next, m, err := add.Apply(c, fresh)
	switch {
	case errors.Is(err, roster.ErrExists):
		return w.drawn(was, w.with(was, n.id, raft.NotMember))
	case err != nil:
		return was, err
	case m.ID == fresh:
		w.check.counts.JoinedAnew++
	}
	next.Context = append(make([]byte, 4), next.Context...)
	return w.drawn(was, next)
}
