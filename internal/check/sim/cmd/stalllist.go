package main

// stallBugs keep a leader under which nothing is committed, or leave one that is well. Most of them need a schedule that
// seeds rarely draw, and have tests.
var stallBugs = []mutant{
	{name: "leader-that-commits-nothing-is-kept", args: minorities, edit: edit{"raft/election.go",
		"r.timer.sinceLeader < r.cfg.ElectionTimeoutTicks && !r.leaderStalls()", "r.timer.sinceLeader < r.cfg.ElectionTimeoutTicks"}},
	{name: "nobody-asks-beside-a-leader-that-commits-nothing", edit: edit{"raft/stall.go",
		"	r.askPreVotes()\n", "	_ = r\n"}, tests: [2]string{"./raft", "^TestALeaderThat"}},
	{name: "leader-whose-snapshot-does-not-arrive-is-kept", edit: edit{"raft/stall.go",
		"return f.leaderLast > r.log.last() && ", "return false && f.leaderLast > r.log.last() && "}, tests: [2]string{"./raft", "^TestALeaderWhoseSnapshot"}},
	{name: "full-hung-disk-votes-against-a-leader", edit: edit{"raft/stall.go",
		"	case r.diskHangs():\n		return false\n	case f.ack", "	case f.ack"}, tests: [2]string{"./raft", "^TestALeaderStaysBeside"}},
	{name: "busy-disk-keeps-a-leader", edit: edit{"raft/stall.go",
		"r.refuses() || r.standsAside() ||", "r.refuses() || !r.persist.diskIdle() ||"}, tests: [2]string{"./raft", "^TestALeaderThatCommitsNothingAndKeeps"}},
	{name: "follower-without-room-leaves-a-leader-that-commits", edit: edit{"raft/stall.go",
		"return max(r.commit, r.follower.leaderCommit)", "return r.commit"}, tests: [2]string{"./raft", "^TestAFollowerWithoutRoom"}},
	{name: "learner-whose-vote-is-needed-waits", edit: edit{"raft/change.go",
		"if r.candidate.wanted && ", "if false && r.candidate.wanted && "}, tests: [2]string{"./raft", "^TestALearnerWhoseVote"}},
	{name: "state-that-arrives-leaves-a-full-log", edit: edit{"rsm/replica.go",
		"	r.receive(m)\n	r.dropCovered()\n", "	r.receive(m)\n"}, tests: [2]string{"./rsm", "^TestAStateThatArrives"}},
	{name: "pre-vote-tells-nothing-of-the-leader", edit: edit{"raft/step.go",
		"		r.noteLeaderLast(m)\n", ""}, tests: [2]string{"./raft", "^TestAFollowerSeesByAPreVote"}},
	{name: "follower-whose-log-is-full-takes-over", edit: edit{"raft/stall.go",
		"return r.follower.refuses && !r.cfg.Witness", "return false"}, tests: [2]string{"./raft", "^TestAFollowerWithoutRoomDoes"}},
	{name: "unheard-follower-keeps-a-leader", edit: edit{"raft/stall.go",
		"f.acknowledged > r.leaderCommit(), f.unheard > 0:", "f.acknowledged > r.leaderCommit():"}, tests: [2]string{"./raft", "^TestAFollowerThatIsNotHeard"}},
	{name: "follower-that-lacks-what-is-committed-keeps-a-leader", edit: edit{"raft/follower.go",
		"max(f.leaderLast, last, m.Commit)", "max(f.leaderLast, last)"}, tests: [2]string{"./raft", "^TestAFollowerWithoutRoom"}},
	{name: "removed-member-that-is-behind-is-not-told", edit: edit{"raft/change.go",
		"gone.match, gone.ticks = p.match, 1", "gone.match = p.match"}, tests: [2]string{"./raft", "^TestARemovedPeerThatIsBehind"}},
	{name: "leader-whose-machine-hangs-is-kept", edit: edit{"raft/ownstate.go",
		"max(r.ownState.stuck, r.ownState.full)", "r.ownState.full"}},
	{name: "slow-machine-is-left", edit: edit{"raft/ownstate.go",
		"r.applied == r.applying || r.applied != s.applied {", "r.applied == r.applying {"}, tests: [2]string{"./raft", "^TestSlowMachines"}},
	{name: "leader-whose-log-was-full-is-kept", edit: edit{"raft/ownstate.go",
		"max(r.ownState.stuck, r.ownState.full)", "r.ownState.stuck"}, tests: [2]string{"./raft", "^TestALeaderWhoseLogWasFull"}},
	{name: "state-that-is-ahead-is-not-applied", edit: edit{"rsm/turn.go",
		"	r.core.Applied(min(r.applied, r.applying))", "	_ = 0"}, tests: [2]string{"./rsm", "^TestAStateAhead"}},
	{name: "busy-machine-looks-up-rarely", edit: edit{"rsm/apply.go",
		"	if len(t.Commands) <= maxPrepared {\n", "	if maxPrepared > 0 {\n"}, tests: [2]string{"./rsm", "^TestStopInTheMidst"}},
	{name: "leader-whose-state-arrives-is-left", edit: edit{"raft/stall.go",
		"s.last == r.log.last() && !s.arrives\n", "s.last == r.log.last()\n"}, tests: [2]string{"./raft", "^TestALeaderWhoseStateArrives"}},
	{name: "leader-with-a-hung-disk-counts-itself", args: minorities, edit: edit{"raft/leader.go",
		"{r.id: !r.ownDiskHangs() || ", "{r.id: true || "}},
	{name: "hung-machine-keeps-leading", edit: edit{"raft/leader.go",
		"		case r.machineHinders():\n", "		case false:\n"}},
	{name: "hung-machine-takes-leadership-back", edit: edit{"raft/makeroom.go",
		"r.diskHangs() || r.machineHangs() && r.ownState.aside > 0", "r.diskHangs()"}},
	{name: "witness-asks-one-voter-alone", edit: edit{"raft/transfer.go",
		"p.declined != other.declined", "false"}, tests: [2]string{"./raft", "^TestAWitnessAsks"}},
	{name: "late-pre-vote-breaks-a-lease", edit: edit{"raft/lease.go",
		"	r.candidate.preVotes = nil\n", ""}, tests: [2]string{"./raft", "^TestLeaseGrantEnds"}},
}

// minorities has more of the runs draw the fault that the bug needs.
var minorities = []string{"--faults", "minority"}

func init() { mutants = append(mutants, stallBugs...) }
