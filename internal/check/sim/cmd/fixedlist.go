package main

// fixed are bugs that balsa itself has had, as they were.
//
// Some have no mutant, because the simulation cannot see them, and have tests of their
// own. What is lost is only time: a failed snapshot that was offered again without a pause
// (raft's trace snapshot_catch_up), a lost forwarded read that was not asked for again, a
// broken connection that let nobody look for another leader, a transfer asked for again
// and again that put off CheckQuorum (trace check_quorum), or that held up writes (trace
// transfer), a restarted follower that
// took nothing more before it had replayed its log (TestFollowerThatReplaysTakesMore),
// sizes of a shortened block (TestSizeOfABlockThatWasShortened). It is in a shell that the
// simulator stands in for: a Stop that waits for a snapshot, lease reads after it, a lease
// that is known later than what leaves with it (package rsm); the data directory's name
// and incarnation, limits of memory, handshakes and queues (packages server and
// transport); what decoders let pass, since simulated messages are not encoded (their fuzz
// tests). Or seeds meet it too rarely: a second
// transfer in one term that revives the lease, a TimeoutNow of an earlier term that is obeyed
// (both: trace transfer), a term of more than a
// thousand rounds (TestLeaseInATermOfManyRounds), a promise of an earlier life that the
// next one forgets too early (TestLongerLeaseGrantIsForgottenWhenItIsOver), a deposed leader that passes on what its
// successor's snapshot holds, before the message about that, and hears nothing else from
// the successor meanwhile (deposed and CheckSnapshot guard against it at both ends: raft's
// random faults and rsm's review test); a lease too long by one of the two ticks that may
// come at once, which is over before a vote can come (rsm's lease test); a follower whose
// storage a failed snapshot has stopped, and who needs nothing else of it (rsm's
// TestReplicaStopsWithItsStorage); a repeated request for a vote that puts off elections
// (TestARepeatedRequestPutsNothingOff: one run in four thousand); what waits for the disk
// replacing what waits for another peer (TestHeldMessagesOfOthersStay); a vote waited for as
// long as a disk once hung (TestElectionAfterADiskHung); a leader that hands over before it
// has committed anything, or to one with an equal disk, and full followers that hold up the
// reads of a new leader (owndisk_test.go).
//
// An image of another index than its snapshot's cannot be had any more, since an own and
// a received snapshot are never saved at the same time; what saves them so is found.
//
// Of the known bug classes two are out of reach for now: there are no membership changes,
// so none can come too early, no restart can forget a joint configuration, and no learner
// is asked for its vote; and no run needs a snapshot that does not fit into memory.
var fixed = []mutant{
	{name: "reads-put-off-heartbeats", edit: edit{"raft/leader.go",
		"		r.roundWanted, r.heartbeatElapsed = true, 0\n", "		r.roundWanted = true\n"},
		also: []edit{{"raft/leader.go", "		r.roundWanted = false\n		r.round++\n", "		r.roundWanted, r.heartbeatElapsed = false, 0\n		r.round++\n"}}},
	{name: "campaign-outruns-disk", edit: edit{"raft/election.go",
		" && r.isVoter() && r.diskIdle() &&", " && r.isVoter() &&"}},
	{name: "submit-behind-later-term", edit: edit{"rsm/submits.go",
		"(t.list[n].index <= index || t.term < term)", "t.list[n].index <= index"}},
	{name: "probe-wants-all", edit: edit{"raft/leader.go",
		"if p.match+1 >= p.next || p.probeSent && p.match > p.probePrev {", "if p.match+1 >= p.next {"}},
	{name: "snapshot-retried-at-once", edit: edit{"rsm/replica.go",
		"r.snapshotPause, r.check = snapshotRetryTicks, true", "r.snapshotPause, r.check = 0, true"}},
}

// more are mutants of bug classes that the list above had left out.
var more = []mutant{
	{name: "lease-ignores-drift", edit: edit{"raft/lease.go",
		" * (1 - r.cfg.MaxClockDrift)", ""}},
	{name: "lease-by-last-tick", edit: edit{"raft/read.go",
		"	r.now = max(r.now, now)\n	id := r.nextReadID\n", "	id := r.nextReadID\n"},
		also: []edit{{"rsm/turn.go", "	r.core.Clock(now)\n", ""}}},
	{name: "read-answer-serves-later", edit: edit{"raft/read.go",
		"for _, done := range r.forwardedReads[:i+1] {", "for _, done := range append(r.forwardedReads[:i:i], r.forwardedReads[i:]...) {"},
		also: []edit{{"raft/read.go", "		r.forwardedReads = r.forwardedReads[i+1:]\n", "		r.forwardedReads = nil\n"}}},
	{name: "learner-campaigns", edit: edit{"raft/election.go",
		"case r.electionElapsed >= r.electionTimeout && r.isVoter() &&", "case r.electionElapsed >= r.electionTimeout &&"}},
	{name: "append-before-snapshot", edit: edit{"raft/follower.go",
		"	for prev < commit && len(entries) > 0 {\n", "	for false {\n"}},
	{name: "probe-not-repeated", edit: edit{"raft/leader.go",
		"				p.next, p.probeSent = p.probePrev+1, false\n", ""}},
	{name: "snapshot-not-repeated", edit: edit{"raft/leader.go",
		"				p.becomeProbe(p.match + 1)\n			}\n		}\n	}\n", "			}\n		}\n	}\n"}},
	{name: "restored-index-as-asked", edit: edit{"rsm/apply.go",
		"	a.index = meta.Index\n	if a.Restored", "	a.index = want.Index\n	if a.Restored"}},
	{name: "store-ignores-since", edit: edit{"kv/store.go",
		"	case st.guarded(op) && st.lastChange(op.Key, old) > op.UnchangedSince:\n", "	case false:\n"}},
	{name: "store-resend-leaves-no-trace", edit: edit{"kv/store.go",
		"	if op.Attempt == Resend {\n", "	if false {\n"}},
	{name: "wal-sync-retried", edit: edit{"wal/segment.go",
		"	if err := s.file.SyncData(); err != nil {\n		return 0, fmt.Errorf(\"sync segment %d: %w\", s.seq, err)\n	}\n	syncTook",
		"	if s.file.SyncData() != nil && s.file.SyncData() != nil {\n		return 0, fmt.Errorf(\"sync segment %d\", s.seq)\n	}\n	syncTook"}, args: []string{"--disk", "wal"}},
}

func init() { mutants = append(append(mutants, fixed...), more...) }
