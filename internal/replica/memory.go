package replica

import "math"

// memoryBounds are the defaults of what a replica may hold in memory beside the index of its keys, in bytes. Each is what is
// best where there are gigabytes. With less they shrink with the memory: the index may take half of it, and a server that
// kept to each bound would still be killed if their sum were more than the rest. An entry of a few bytes takes twice as
// much memory as it counts for (see raft.Entry.Size), and its record in the history as much again.
type memoryBounds struct {
	// raftState of the log make a checkpoint due, and three times as much is held (rsm.Config.MaxRaftState), whatever the
	// size of the store: a checkpoint writes what is new.
	raftState int64
	// pending of the log wait for the disk, or to be executed (rsm.Config.MaxPendingBytes).
	pending int64
	// unwritten of the history are in memory alone when a checkpoint is due (state.Config.MaxUnwritten), however short the
	// log is. By far most commands write about as much history as log, and the log has a checkpoint made earlier.
	unwritten int64
	// cache of the history are on disk, and in memory too (state.Config.CacheBytes).
	cache int64
}

// boundsOf are the bounds of a server that may use so much memory in all. 0: any.
func boundsOf(memory int64) memoryBounds {
	if memory <= 0 {
		memory = math.MaxInt64
	}
	bound := func(part, least, most int64) int64 { return min(max(memory/part, least), most) }
	return memoryBounds{
		raftState: bound(32, 4<<20, 64<<20),
		pending:   bound(24, 16<<20, 64<<20),
		unwritten: bound(12, 16<<20, 256<<20),
		cache:     bound(16, 4<<20, 64<<20),
	}
}

// leaveFree is what the index leaves to all else in any case, where there is so much.
const leaveFree = 128 << 20

// MostIndexBytes is how much memory the index of all keys may take by default, of so much in all: half of it, and less where
// that does not leave 128 MiB for the rest.
func MostIndexBytes(memory int64) int64 { return min(memory/2, max(memory-leaveFree, memory/8)) }
