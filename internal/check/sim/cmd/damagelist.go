package main

// damaged are bugs of what a member does with damaged files of its state: it does not notice them, or raises false
// alarms.
var damaged = []mutant{
	{name: "missing-file-not-noticed-as-it-is-sent", edit: edit{"state/receive.go",
		"fmt.Errorf(\"run %x: %v\", name, m.noticed(err))", "fmt.Errorf(\"run %x: %w\", name, err)"}, tests: stateDamageTests},
	{name: "cut-file-not-noticed-as-it-is-sent", edit: edit{"kv/run/checked.go",
		"	case err != nil && c.at < c.info.Bytes:\n", "	case err != nil && c.at < 0:\n"}, tests: [2]string{"./kv/run", "Damage"}},
	{name: "part-of-a-file-not-looked-at", edit: edit{"state/receive.go",
		"	return files.Checked(info, offset, r, ", "	if offset > 0 {\n		return r, nil\n	}\n	return files.Checked(info, offset, r, "}, tests: stateDamageTests},
	{name: "error-of-a-read-is-no-damage", edit: edit{"kv/run/errors.go",
		"	if Innocent(err) {\n", "	if err != nil {\n"}, tests: stateDamageTests},
	{name: "no-descriptors-left-is-damage", edit: edit{"kv/run/errors.go",
		"[]error{syscall.EMFILE, ", "[]error{"}, tests: [2]string{"./kv/run", "Damage"}},
	{name: "run-in-use-not-scrubbed", edit: edit{"state/scrub.go",
		"	runs := mf.runs\n", "	runs := mf.runs[:len(mf.runs)-1]\n"}, tests: stateDamageTests},
	{name: "small-file-not-noticed-as-it-is-sent", edit: edit{"state/receive.go",
		"errors.Join(m.noticed(err), m.files.unpin(mf))", "errors.Join(err, m.files.unpin(mf))"}, tests: stateDamageTests},
	{name: "lost-manifest-takes-the-history-along", edit: edit{"state/durable.go",
		"	if f.current.Load() == nil { ", "	if false { "}, tests: [2]string{"./state", "^TestFilesStay"}},
	{name: "damaged-manifest-stays", edit: edit{"state/scrub.go",
		"func() error { return m.files.publish(mf) }", "func() error { return nil }"}, args: rots},
	{name: "damaged-small-file-waits-for-a-write", edit: edit{"rsm/replica.go",
		"	case again:\n", "	case false && again:\n"}, tests: [2]string{"./internal/replica", "WhereNobodyWrites"}},
	{name: "small-file-is-believed", edit: edit{"state/files.go",
		"	if int64(len(b)) != s.bytes || xxhash.Sum64(b) != s.checksum {\n", "	if false {\n"}, args: rots},
	{name: "damaged-small-file-stays", edit: edit{"state/maintain.go",
		"	return m.smallDamaged() || p.keys", "	return p.keys"}, tests: stateDamageTests},
	{name: "passing-error-is-damage", edit: edit{"state/scrub.go",
		"	if m.scrubs.small = 0; err != nil && ", "	if m.scrubs.small = mf.small.number; err != nil && "}, tests: stateDamageTests},
	{name: "scrub-believes-one-error", edit: edit{"state/scrub.go",
		"	if read() == nil {\n		return nil\n	}\n	return read()\n", "	return read()\n"}, tests: stateDamageTests},
	{name: "rewrite-discards-what-a-manifest-may-name", edit: edit{"state/repair.go",
		"		if !errors.Is(err, rsm.ErrMachineFailed) { ", "		if err != nil || errors.Is(err, rsm.ErrMachineFailed) { "}, tests: stateErrorTests},
	{name: "unreadable-beginning-is-written-anew", edit: edit{"kv/run/receive.go",
		"	if known > 0 && there.Have == 0 {\n		return there, err\n	}\n", ""}, tests: stateErrorTests},
	{name: "rewrite-takes-more-than-there-is", edit: edit{"state/maintain.go",
		" && left+runs[i].left() <= disk.room", ""}, tests: stateSpaceTests},
	{name: "rewrite-takes-the-last-space-for-nothing", edit: edit{"state/maintain.go",
		"	if !m.files.streams() {\n", "	if true {\n"}, tests: stateSpaceTests},
	{name: "history-in-memory-without-a-bound", edit: edit{"state/maintain.go",
		" || m.muchUnwritten(p) ||\n", " ||\n"}, tests: stateSpaceTests},
	{name: "received-over-what-a-checkpoint-has-written", edit: edit{"state/receive.go",
		"ok && !m.hasWrittenBehind(own) {", "ok && (true || !m.hasWrittenBehind(own)) {"}, tests: [2]string{"./state", "^TestWhatACheckpoint"}},
	{name: "state-that-is-behind-stays-behind", edit: edit{"state/maintain.go",
		"		raft.Index(m.awaited.Load()) > m.files.lastIndex()\n", "		raft.Index(m.awaited.Load()) < 0*m.files.lastIndex()\n"}, tests: [2]string{"./state", "^TestOpenTakesNoStateThatIsBehind"}},
	{name: "index-that-is-asked-for-is-never-forgotten", edit: edit{"state/durable.go",
		"	m.awaited.Store(0)\n", ""}, tests: [2]string{"./state", "^TestAnIndexThatIsAskedFor"}},
	{name: "failed-sync-of-upkeep-is-no-end", edit: edit{"internal/replica/upkeep.go",
		"		case errors.Is(err, rsm.ErrMachineFailed): ", "		case err == nil && errors.Is(err, rsm.ErrMachineFailed): "}, tests: [2]string{"./internal/replica", "^TestAFailedSync"}},
	{name: "damaged-leaders-pass-leadership-to-and-fro", edit: edit{"raft/ownstate.go",
		"r.bestSuccessor(s.tried...)", "r.bestSuccessor()"}, tests: [2]string{"./raft", "^TestDamagedLeaders"}},
	{name: "damaged-leaders-never-rest", edit: edit{"raft/ownstate.go",
		"	s.tried, s.pause = nil, unfitPauseTimeouts<<s.rounds*r.cfg.ElectionTimeoutTicks\n", "	s.tried = nil\n"}, tests: [2]string{"./raft", "^TestDamagedLeaders"}},
}

// birth are bugs of what a new cluster begins with.
var birth = []mutant{
	{name: "first-comes-after-an-operation", edit: edit{"rsm/proposals.go",
		"			return r.used\n", "			return true\n"}},
	{name: "first-holds-up-a-new-leader", edit: edit{"rsm/proposals.go",
		"			return r.used\n", "			return false\n"}, tests: [2]string{"./rsm", "First$|FirstWaits"}},
	{name: "first-is-not-asked", edit: edit{"rsm/proposals.go",
		"	if r.First == nil || ", "	if r.First != nil || "}},
	{name: "first-in-the-first-term-only", edit: edit{"rsm/proposals.go",
		"	if op := r.First(); op != nil {\n", "	if op := r.First(); op != nil && r.core.Term() == 1 {\n"}},
	{name: "first-is-not-refused", edit: edit{"rsm/submit.go",
		"		return nil\n	}\n	data, err := n.encode(op)\n", "		return nil\n	}\n	data, err := n.cfg.Codec.Append(nil, op), error(nil)\n"}, tests: [2]string{"./rsm", "First$"}},
}

// rots has all runs damage files of the state.
var rots = []string{"--faults", "rot,kill,power-loss,partition"}

var stateDamageTests = [2]string{"./state", "Damage|FilesThatChange|FalseAlarms"}

// stateSpaceTests are of disks that are nearly full, and of memory.
var stateSpaceTests = [2]string{"./state", "^TestSpace|^TestUnwritten"}

// stateErrorTests fail each operation of the disk in turn.
var stateErrorTests = [2]string{"./state", "^TestError"}

func init() { mutants = append(append(mutants, damaged...), birth...) }
