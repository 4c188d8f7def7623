package main

// fixed are bugs that balsa itself has had, put back as they were.
//
// # Bugs that balsa has had and that are not here
//
// The test or the trace that finds a bug is in brackets.
//
// Bugs that only cost time, so that they break no invariant of the simulation:
//
//   - A snapshot that failed is offered again without a pause (raft's trace snapshot_catch_up).
//   - A forwarded read that was lost is not asked for again.
//   - A broken connection does not make the member look for another leader.
//   - A transfer that is asked for again and again puts off CheckQuorum (trace check_quorum),
//     or holds up writes (trace transfer).
//   - A restarted follower takes no entries before it has replayed its log
//     (TestFollowerThatReplaysTakesMore).
//   - The bytes of a log block that was shortened are wrong (TestSizeOfABlockThatWasShortened).
//
// Bugs in code that the simulator replaces by its own:
//
//   - The runner: a Stop that waits for a snapshot; lease reads after Stop; a lease that
//     becomes known after the messages of the same turn have left (package rsm).
//   - The service: the name and incarnation of a data directory, bounds of memory,
//     handshakes, queues (packages server and transport).
//   - Decoders that accept bad input: simulated messages are not encoded (fuzz tests).
//
// Bugs whose situation seeds make too rarely:
//
//   - A second transfer in a term makes a lease valid again (trace transfer).
//   - A TimeoutNow of an earlier term is obeyed (trace transfer).
//   - A term has more than a thousand rounds (TestLeaseInATermOfManyRounds).
//   - A lease grant of an earlier process is forgotten before it is over
//     (TestLongerLeaseGrantIsForgottenWhenItIsOver).
//   - A leader that has stepped down sends a snapshot of its successor as its own. It has
//     stored that snapshot, has not handled the message about it yet, and gets no other
//     message of the successor. Both ends guard against it (raft's TestRandomFaults;
//     raft.InstallSnapshot.Check).
//   - A lease is too long by one of two ticks that come at once, and is over before a vote
//     can come (rsm's lease_test.go).
//   - A failed snapshot has stopped the storage of a follower that does not use its storage
//     for anything else (rsm's TestReplicaStopsWithItsStorage).
//   - A repeated request for a vote puts off elections (TestARepeatedRequestPutsNothingOff;
//     one run in four thousand).
//   - A snapshot of an earlier leader is durable, and an older one of the next leader replaces it
//     (TestAnOlderSnapshotReplacesNoneThatIsDurable; one run in some thousands).
//   - A message that waits for the disk replaces one that waits for another peer
//     (TestPendingMessagesToOtherPeersStay).
//   - A candidate waits for votes as long as its disk once hung
//     (TestElectionAfterADiskHung).
//   - A leader with a slow disk hands over before it has committed anything, or to a member
//     with an equally slow disk; full followers hold up the reads of a new leader
//     (owndisk_test.go).
//
// A bug that cannot come back: a snapshot whose image is of another index than its metadata
// says. It needs two snapshots that are saved at the same time, and the mutants
// two-snapshots-at-once and own-snapshot-while-receiving stand for that.
//
// # A known bug class of other systems that is not here
//
//   - A snapshot that does not fit into memory: no run is that large.
var fixed = []mutant{
	{name: "reads-put-off-heartbeats", edit: edit{"raft/leader.go",
		"		l.roundWanted, l.heartbeatElapsed = true, 0\n", "		l.roundWanted = true\n"},
		also: []edit{{"raft/leader.go", "		l.roundWanted = false\n		l.round++\n", "		l.roundWanted, l.heartbeatElapsed = false, 0\n		l.round++\n"}}},
	{name: "campaign-outruns-disk", edit: edit{"raft/election.go",
		" && r.mayCampaign() && r.persist.diskIdle() &&", " && r.mayCampaign() &&"}},
	{name: "submit-behind-later-term", edit: edit{"rsm/submits.go",
		"(t.list[n].index <= index || t.term < term)", "t.list[n].index <= index"}},
	{name: "probe-reply-must-match-all", edit: edit{"raft/replicate.go",
		"if p.match+1 >= p.next || p.probeSent && p.match > p.probePrev {", "if p.match+1 >= p.next {"}},
	{name: "fetched-file-number-again", edit: edit{"state/receive.go",
		"	m.files.received, m.files.fetched = nil, nil\n", "	m.files.received = nil\n"}, tests: [2]string{"./state", "^TestAFileThatBrokeOff"}},
	{name: "received-state-blocks-checkpoints", edit: edit{"state/durable.go",
		"	case r.position.Index > position.Index:\n", "	case position.Index > 0:\n"}},
	{name: "range-of-bytes-counts-records", edit: edit{"kv/rangeread.go",
		"		g.bytes += int64(len(r.Key) + len(r.Value))\n", "		g.bytes += int64(r.ref.Size)\n"}},
	{name: "range-with-the-highest-limit-does-not-end", edit: edit{"kv/rangeread.go",
		"	return int(min(scanChunk-1, g.op.Limit-g.keys)) + 1 ", "	return int(min(scanChunk, g.op.Limit-g.keys+1)) "},
		tests: [2]string{"./state", "^TestTheHighestNumberIsALimit"}},
	{name: "compaction-told-late", edit: edit{"kv/compact.go",
		"	if s.publish != nil { // first", "	defer s.publish.Compacted(revision)\n	if false { // first"},
		tests: [2]string{"./kv", "^TestACompactionIsTold"}},
	{name: "scan-begins-again-in-another-state", edit: edit{"state/machine.go",
		"			from = revision + 1\n", ""}, tests: [2]string{"./state", "^TestAScanOutlivesTheState"}},
	{name: "watch-from-a-restored-revision-refused", edit: edit{"kv/scan.go",
		"	first := from == compacted && from > 0 ", "	first := from > last "},
		tests: [2]string{"./state", "^TestWatchersOfARestoredState"}},
	{name: "watch-progress-lost-with-the-last-watcher", edit: edit{"kv/watch/stream.go",
		"	h.era = 0\n	h.matched, _ = h.queue.state()\n	h.answer()\n", ""},
		tests: [2]string{"./kv/watch", "^TestProgressComes"}},
	{name: "watch-marks-hold-up-events", edit: edit{"kv/watch/next.go",
		"			c.told = s.hub.matched\n			s.begin(Progress, c.ids, c.told)\n			return true\n", "			c.told = s.hub.matched\n			s.markAt++\n			s.begin(Progress, c.ids, c.told)\n			return true\n"},
		tests: [2]string{"./kv/watch", "^TestMarks"}},
	{name: "delete-with-a-value", edit: edit{"kv/write.go",
		"		value = nil // a Delete may have one, which means nothing\n", ""}},
	{name: "snapshot-retried-at-once", edit: edit{"rsm/replica.go",
		"r.snapshotPause, r.check = snapshotRetryTicks, true", "r.snapshotPause, r.check = 0, true"}},
}

func init() { mutants = append(mutants, fixed...) }
