package replica_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
	"balsa.example/wal"
)

// How long a disk takes for a write. The file system in memory
// takes no virtual time at all. A power failure soon finds disks out on which a write
// may last longer than its answer would travel.
const (
	saveTime     = 200 * time.Microsecond
	longSaveTime = 10 * time.Millisecond // at most
)

const walDir = "wal"

// smallSegment is the length of a segment of the log where a test asks for none, in bytes. The file system
// in memory copies a whole file at each sync.
const smallSegment = 64 << 10

// disk is the part of a server that a crash leaves: the files of its log. When the
// power fails, what was not synced is lost.
type disk struct {
	mem     *crashfs.Mem
	options wal.Options
	id      wal.Identity
	random  *rand.Rand
	slow    bool // writes take anything up to longSaveTime
	plug    *plug
	log     *wal.Log // nil while the server is down
}

// newDisk makes the log of a new server.
func newDisk(id raft.NodeID, conf raft.Configuration, segmentSize int64, slow bool, seed uint64) (*disk, error) {
	d := &disk{
		slow:    slow,
		mem:     crashfs.NewCrashableMem(),
		options: wal.Options{SegmentSize: cmp.Or(segmentSize, smallSegment), NoSnapshots: true},
		id:      wal.Identity{ClusterID: 1, NodeID: id},
		random:  rand.New(rand.NewPCG(seed, uint64(id))),
	}
	options := d.options
	options.FS = d.mem
	return d, wal.Create(walDir, options, d.id, conf)
}

// open opens the log as a starting server does.
func (d *disk) open() (*slowLog, error) {
	d.plug = &plug{mem: d.mem, random: d.random, pulled: make(chan struct{})}
	options := d.options
	options.FS = crashfs.Inject(d.mem, d.plug)
	var err error
	d.log, err = wal.Open(walDir, options, d.id)
	l := &slowLog{Log: d.log}
	if d.slow {
		l.random = rand.New(rand.NewPCG(d.random.Uint64(), 0))
	}
	return l, err
}

// crash closes the log of a server that has stopped, and leaves on the disk what was
// there when the plug was pulled, or if it was not, what would be if it were now.
func (d *disk) crash() {
	d.mem = d.plug.pull()
	_ = d.log.Close() // fails, since the power is gone
	d.log = nil
}

// slowLog is a Log on which writes take time.
type slowLog struct {
	*wal.Log
	random *rand.Rand // nil: always the same time
}

func (l *slowLog) Save(ps []raft.Persist) error {
	d := saveTime
	if l.random != nil {
		d += time.Duration(l.random.Int64N(int64(longSaveTime)))
	}
	time.Sleep(d)
	return l.Log.Save(ps)
}

const stateDir = "state"

// stateBytes is the size of the files of a server's state.
func (d *disk) stateBytes() (total int64, err error) {
	names, err := d.mem.List(stateDir)
	for _, name := range names {
		info, statErr := d.mem.Stat(stateDir + "/" + name)
		if err = cmp.Or(err, statErr); err == nil {
			total += info.Size()
		}
	}
	return total, err
}

var errPowerLost = errors.New("power lost")

// plug is the power supply of a disk, an errorfs.Injector. Once pulled, every
// operation fails, so that the server can promise nothing that is not in the clone
// which was taken at that moment.
type plug struct {
	mu     sync.Mutex
	mem    *crashfs.Mem
	random *rand.Rand
	left   int           // writes until it is pulled; 0: it is not going to be
	clone  *crashfs.Mem  // what the disk held then; nil while there is power
	pulled chan struct{} // closed then
}

// pullSoon pulls the plug in the midst of one of the next writes and syncs.
func (p *plug) pullSoon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = 1 + p.random.IntN(20)
}

// pull pulls the plug unless it is out, and returns what was on the disk.
func (p *plug) pull() *crashfs.Mem {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pullLocked()
	return p.clone
}

func (p *plug) pullLocked() {
	if p.clone == nil {
		kept := []int{0, 50, 100}[p.random.IntN(3)]
		p.clone = p.mem.CrashClone(crashfs.Crash{UnsyncedPercent: kept, Rand: p.random})
		close(p.pulled)
	}
}

// MaybeError implements errorfs.Injector.
func (p *plug) MaybeError(op errorfs.Op) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clone == nil && p.left > 0 && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
		if p.left--; p.left == 0 {
			p.pullLocked()
		}
	}
	if p.clone != nil {
		return fmt.Errorf("%s: %w", op.Path, errPowerLost)
	}
	return nil
}

func (p *plug) String() string { return "plug" }
