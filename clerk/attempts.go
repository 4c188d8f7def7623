package clerk

//balsa:pure

import (
	"math/bits"

	"balsa.example/api"
)

// attempts is what is known of the attempts of one conditional Put or Delete, or of one write
// of a session, or of a repeatable one. Those two may be sent again at any time: of what
// follows, only doubt is of interest then. An attempt
// is in doubt if it may have been executed, or may be executed yet. An attempt that is sent
// while none is in doubt is the FIRST one. The next ones are RESENDs, until again none is
// in doubt.
//
// Let v be the version that the operation expects, and S the revision unchangedSince. The
// store executes an attempt under these conditions:
//
//	FIRST    the key is at v; and, if a RESEND has arrived before, what a RESEND demands
//	RESEND   the key is at v, was at v when the store was at S, and was not changed since
//
// It follows:
//
//  1. At most one attempt is executed: it changes the key after S, so that all attempts
//     that arrive later are refused.
//  2. An attempt that is refused because of the key shows that the others are refused from
//     then on too.
//
// What remains open is whether another attempt was executed before a refusal: see
// excludedBy.
type attempts struct {
	remove  bool   // a Delete
	version uint64 // v
	anyTime bool   // not a conditional one: each attempt can be executed

	// unchangedSince is S. The store had reached it before any attempt in doubt was sent.
	unchangedSince uint64
	// first is the number of the FIRST attempt.
	first int
	// reached[i] is a revision that the store had reached when attempt first+i was sent, if
	// that attempt was lost. They are in rising order.
	reached []uint64
	// refusal is a late reply which shows that no attempt is executed any more; nil: there
	// was none. Attempts up to number refusedUpTo had been sent before it came.
	refusal     *api.Reply
	refusedUpTo int
	// inDoubt is the set of the attempts in doubt: bit i is attempt first+i, and the last bit
	// is all later ones together.
	inDoubt uint64
}

// lastBit is the bit of inDoubt that stands for many attempts.
const lastBit = 63

func (a *attempts) noneInDoubt() bool { return a.inDoubt == 0 }

// bit returns the bit of an attempt, 0 if the attempt was sent before the FIRST one.
func (a *attempts) bit(attempt int) uint64 {
	if attempt < a.first {
		return 0
	}
	return 1 << min(attempt-a.first, lastBit)
}

// begin makes an attempt the FIRST one.
func (a *attempts) begin(attempt int) {
	*a = attempts{remove: a.remove, version: a.version, anyTime: a.anyTime, unchangedSince: a.unchangedSince, first: attempt}
}

// lost puts an attempt in doubt, unless it can never be executed. The store had reached a
// revision when the attempt was sent.
func (a *attempts) lost(attempt int, reached uint64) {
	bit := a.bit(attempt)
	if !a.canExecute(bit == 1) || a.refusal != nil && attempt > a.refusedUpTo {
		return
	}
	a.inDoubt |= bit
	reached = max(reached, a.unchangedSince)
	if n := len(a.reached); n > 0 {
		reached = max(reached, a.reached[n-1])
	}
	for i := len(a.reached); i <= min(attempt-a.first, lastBit); i++ {
		a.reached = append(a.reached, reached)
	}
}

// reachedBefore returns the highest revision that the store is known to have reached before
// any attempt in doubt was sent.
func (a *attempts) reachedBefore() uint64 {
	if a.noneInDoubt() {
		return a.unchangedSince
	}
	return a.reached[bits.TrailingZeros64(a.inDoubt)]
}

// notExecuted takes an attempt out of doubt. The last bit stays, since it stands for others
// too.
func (a *attempts) notExecuted(attempt int) { a.inDoubt &^= a.bit(attempt) &^ (1 << lastBit) }

// canExecute tells whether an attempt can be executed at all. No key is deleted at version
// 0. And since a store begins at revision 1, no key is beyond version S-1 at revision S.
func (a *attempts) canExecute(first bool) bool {
	switch {
	case a.remove && a.version == 0:
		return false
	case first || a.anyTime:
		return true
	default:
		return a.version < a.unchangedSince
	}
}

// refusedLate takes a late refusal because of the key. last is the number of the last
// attempt that had been sent.
func (a *attempts) refusedLate(r *api.Reply, last int) {
	if a.refusal == nil && a.precludesOthers(r) {
		a.refusal, a.refusedUpTo = r, last
	}
}

// precludesOthers tells whether r, the refusal of one attempt because of the key, shows
// that no other attempt is executed from then on. The exception is a FIRST attempt that was
// sent with a lower revision than S.
func (a *attempts) precludesOthers(r *api.Reply) bool {
	if r.GetCode() != api.Reply_CHANGED {
		return true
	}
	changed := r.GetModRevision()
	if r.GetCreateRevision() == 0 {
		changed = r.GetDeleteRevision()
	}
	return changed > a.unchangedSince
}

// excludedBy tells whether r, a refusal because of the key, shows that none of the attempts
// in doubt was executed before it. It looks for a history of the key in which one was, and
// which ends as r describes the key. Each change of any key takes a revision, so a history
// is possible only if there are enough revisions for its changes. In a history
//
//	before    is S, or a later revision if the FIRST attempt is not in doubt any more: our
//	          change comes after it
//	detour    is how many changes by others must come before ours, to bring the key to v:
//	          at S the key is at version S-1 at most
//	created   is the revision that created the key that r describes
//	deleted   is the revision of the last delete of the key, or a higher one
func (a *attempts) excludedBy(r *api.Reply) bool {
	if a.noneInDoubt() {
		return true
	}
	first, before := a.inDoubt&1 != 0, a.reachedBefore()
	since := a.unchangedSince
	if a.anyTime {
		since = before // others may have changed the key before it
	}
	detour := a.version - min(a.version, since-1)
	if detour > 0 && !first && !a.anyTime {
		return true // a RESEND is refused after a change by others
	}
	// room tells whether n changes, ours the first of them, fit between before and a revision.
	room := func(n, until uint64) bool { return until >= before+n && until-before-n >= detour }
	created, deleted := r.GetCreateRevision(), r.GetDeleteRevision()
	switch {
	case a.anyTime: // SESSION_ENDED, which does not describe the key
		return !room(1, r.GetRevision())
	case a.remove && created == 0:
		return !room(1, deleted)
	case a.remove:
		return created <= before || !room(1, min(deleted, created-1))
	case created == 0: // ours, and a delete
		return !room(2, deleted)
	case created <= before:
		return !a.mayHaveReplaced(r, first, before)
	case a.mayHaveCreated(r, first):
		return false
	default: // ours, a delete, and the creation
		return !room(2, min(deleted, created-1))
	}
}

// mayHaveReplaced tells whether our Put can be among the Puts of the key that r describes,
// when that key was created before our Put was sent.
func (a *attempts) mayHaveReplaced(r *api.Reply, first bool, before uint64) bool {
	created, changed, version := r.GetCreateRevision(), r.GetModRevision(), r.GetVersion()
	// puts is how many Puts of the key there can have been after one revision, up to another.
	// A delete in between was of another key, and took a revision.
	puts := func(after, until uint64) uint64 {
		if deleted := r.GetDeleteRevision(); after < deleted && deleted <= until {
			return until - after - 1
		}
		return until - after
	}
	switch {
	case a.version == 0 || version <= a.version || changed <= before:
		return false
	case created > a.unchangedSince: // a RESEND demands that the key existed at S
		return false
	case a.version > 1+puts(created, a.unchangedSince): // and that it was at v then
		return first
	}
	return version-a.version <= puts(before, changed)
}

// mayHaveCreated tells whether our Put can be among the Puts of the key that r describes,
// when that key was created after our Put was sent.
func (a *attempts) mayHaveCreated(r *api.Reply, first bool) bool {
	if first {
		return r.GetVersion() > a.version
	}
	// A RESEND does not create a key that was deleted after S.
	created, deleted := r.GetCreateRevision(), r.GetDeleteRevision()
	return a.version == 0 && (deleted <= a.unchangedSince || deleted > created)
}
