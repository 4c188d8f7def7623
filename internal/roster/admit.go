package roster

import "balsa.example/raft"

// Standing is what the members know of a node that talks to them under an id, from a data directory.
type Standing uint8

const (
	// Admitted: it is the member of that id.
	Admitted Standing = iota + 1
	// Replaced: the member of that id has another directory. In that one is what it has promised:
	// its votes, and the entries that it has acknowledged. A new one must not be taken for it. It may
	// join, and gets an id of its own.
	Replaced
	// NotStarted: the member of that id has no directory yet, as far as this roster knows.
	NotStarted
	// Unknown: there is no member of that id, or not yet.
	Unknown
)

// Standing tells whether a node is the member of its id.
func (r Roster) Standing(id raft.NodeID, i Incarnation) Standing {
	switch known, ok := r.Find(id); {
	case !ok:
		return Unknown
	case !known.Started():
		return NotStarted
	case known.Incarnation != i:
		return Replaced
	}
	return Admitted
}
