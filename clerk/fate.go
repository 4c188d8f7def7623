package clerk

//balsa:pure

import (
	"math/bits"

	"balsa.example/api"
)

// fate is what is known of the attempts of one conditional Put or Delete. It begins clear:
// no attempt was executed, nor will be. An attempt that is sent while it is clear is the
// FIRST one, and those after it are RESENDs until it is clear again.
//
// Let v be the version expected, and S the revision since. When can they be executed?
//
//	FIRST    whenever the key is at v, but after a RESEND was executed or refused only if
//	         a RESEND could be
//	RESEND   only if the key is at v, and was already at S, and was not changed since
//
// So together they are executed at most once: what is executed changes the key after S, and
// what comes later is refused. And one that is refused because of the key tells that
// all the others are refused from then on too. What remains is whether one of them was
// executed before: see excludes.
type fate struct {
	remove  bool   // a Delete
	version uint64 // v

	// since is S: the store had reached it before any attempt left that is in doubt.
	since uint64
	// first is the number of the FIRST attempt.
	first int
	// reached[i] is a revision that the store had reached when attempt first+i left, if that
	// was lost. They are in rising order.
	reached []uint64
	// refusal is a late reply that tells that no attempt is executed any more, nil if there was
	// none. Only those up to number refused had left before.
	refusal *api.Reply
	refused int
	// open are the attempts in doubt: their replies were lost or said UNKNOWN. Bit i stands
	// for attempt first+i, the last bit for all later ones too.
	open uint64
}

// lastOpen is the bit that stands for many attempts.
const lastOpen = 63

func (f *fate) clear() bool { return f.open == 0 }

// bit returns that of an attempt; 0 if the attempt belongs to a time before all was clear.
func (f *fate) bit(attempt int) uint64 {
	if attempt < f.first {
		return 0
	}
	return 1 << min(attempt-f.first, lastOpen)
}

// begin begins anew with a FIRST attempt.
func (f *fate) begin(attempt int) {
	*f = fate{remove: f.remove, version: f.version, since: f.since, first: attempt}
}

// lost puts an attempt, which left when the store had reached a revision, in doubt, unless
// it cannot be executed whatever happens.
func (f *fate) lost(attempt int, reached uint64) {
	bit := f.bit(attempt)
	if !f.executable(bit == 1) || f.refusal != nil && attempt > f.refused {
		return
	}
	f.open |= bit
	for i := len(f.reached); i <= min(attempt-f.first, lastOpen); i++ {
		f.reached = append(f.reached, max(f.since, reached))
	}
}

// left is the highest revision that the store is known to have reached before any attempt
// left that is in doubt.
func (f *fate) left() uint64 {
	if f.clear() {
		return f.since
	}
	return f.reached[bits.TrailingZeros64(f.open)]
}

// settle takes an attempt that was certainly not executed out of doubt. The last bit stays.
func (f *fate) settle(attempt int) { f.open &^= f.bit(attempt) &^ (1 << lastOpen) }

// executable tells whether an attempt may ever be executed. No key is deleted at version 0,
// and at revision S no key is beyond version S-1, since the store begins at revision 1.
func (f *fate) executable(first bool) bool {
	switch {
	case f.remove && f.version == 0:
		return false
	case first:
		return true
	default:
		return f.version < f.since
	}
}

// refuse takes a refusal because of the key that came late, when a number of attempts had
// left.
func (f *fate) refuse(r *api.Reply, last int) {
	if f.refusal == nil && f.kills(r) {
		f.refusal, f.refused = r, last
	}
}

// kills tells whether r, the refusal of one attempt, means that no other is executed from
// then on. Any refusal because of the key does, but that of a FIRST attempt which had left
// with a lower revision than S.
func (f *fate) kills(r *api.Reply) bool {
	if r.GetCode() != api.Reply_CHANGED {
		return true
	}
	changed := r.GetModRevision()
	if r.GetCreateRevision() == 0 {
		changed = r.GetDeleteRevision()
	}
	return changed > f.since
}

// excludes tells whether r, a refusal because of the key, shows that none of the attempts
// in doubt was executed before. It compares r with all histories of the key in which one
// was; each change of any key is a revision, so that there must be room for them.
//
//	left      S, or later if the FIRST attempt is not in doubt any more: our change is
//	          behind it
//	detour    how many changes must come before ours, to bring the key to v: it is at
//	          S-1 at most when the store is at S
//	created   the revision that created the key that r describes
//	deleted   the revision of the last delete of the key, or a higher one
func (f *fate) excludes(r *api.Reply) bool {
	if f.clear() {
		return true
	}
	first, left := f.open&1 != 0, f.left()
	detour := f.version - min(f.version, f.since-1)
	if detour > 0 && !first {
		return true // RESENDs allow no detour
	}
	// room tells whether there can have been n changes, ours the first of them, behind
	// left and up to a revision.
	room := func(n, until uint64) bool { return until >= left+n && until-left-n >= detour }
	created, deleted := r.GetCreateRevision(), r.GetDeleteRevision()
	switch {
	case f.remove && created == 0:
		return !room(1, deleted)
	case f.remove:
		return created <= left || !room(1, min(deleted, created-1))
	case created == 0: // ours, and a delete
		return !room(2, deleted)
	case created <= left:
		return !f.replaced(r, first, left)
	case f.within(r, first):
		return false
	default: // ours, a delete, and the creation
		return !room(2, min(deleted, created-1))
	}
}

// replaced tells whether our Put can be one of those that the key has seen, when it was
// created before our Put left.
func (f *fate) replaced(r *api.Reply, first bool, left uint64) bool {
	created, changed, version := r.GetCreateRevision(), r.GetModRevision(), r.GetVersion()
	// puts is how many Puts of the key there can have been after one revision, up to another:
	// a delete in between was of another key.
	puts := func(after, until uint64) uint64 {
		if deleted := r.GetDeleteRevision(); after < deleted && deleted <= until {
			return until - after - 1
		}
		return until - after
	}
	switch {
	case f.version == 0 || version <= f.version || changed <= left:
		return false
	case created > f.since: // a RESEND demands that it was there at S
		return false
	case f.version > 1+puts(created, f.since): // which it was not yet at S
		return first
	}
	return version-f.version <= puts(left, changed)
}

// within tells whether our Put can be one of those that the key has seen, when it was
// created after our Put left.
func (f *fate) within(r *api.Reply, first bool) bool {
	if first {
		return r.GetVersion() > f.version
	}
	// A RESEND creates nothing that was deleted after S.
	created, deleted := r.GetCreateRevision(), r.GetDeleteRevision()
	return f.version == 0 && (deleted <= f.since || deleted > created)
}
