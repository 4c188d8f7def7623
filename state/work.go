package state

// Work is something that a Machine does beside executing commands, or while they wait, and that takes a while.
type Work string

const (
	// WorkCheckpoint writes what is new of the state.
	WorkCheckpoint Work = "checkpoint"
	// WorkReceive takes the state of another member.
	WorkReceive Work = "receive"
	// WorkInstall loads the index of a state that was received. Commands wait all the while, and where the own index had
	// to go first reads are refused.
	WorkInstall Work = "install"
	// WorkRewrite writes runs anew of which little is left.
	WorkRewrite Work = "rewrite"
	// WorkScrub reads a run and, if it is damaged, repairs it.
	WorkScrub Work = "scrub"
	// WorkFlush writes the history that is in memory alone, since there is too much of it. Commands wait all the while.
	WorkFlush Work = "flush"
)

// Works are all kinds of Work.
var Works = []Work{WorkCheckpoint, WorkReceive, WorkInstall, WorkRewrite, WorkScrub, WorkFlush}

// begin tells that work begins. The function that it returns tells how it ended.
func (m *Machine) begin(w Work) (end func(error)) {
	if m.cfg.OnWork == nil {
		return func(error) {}
	}
	return m.cfg.OnWork(w)
}
