package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Mix is what a seed draws: the cluster, its load, and the faults with their rates. In each
// run some faults are absent and some are frequent (swarm testing), since a fault that is
// always there hides the effects of others.
type Mix struct {
	Voters    int
	Witnesses int // those of the voters that keep no state: the last ones
	Learners  int // nodes behind the voters, which only receive
	Spares    int // nodes that may join later
	// SpareWitness: the last of the spare nodes is a witness.
	SpareWitness bool
	// MaxWitness is how much of its log a witness may have to keep until it refuses more.
	MaxWitness int
	WAL        bool // the real log on a simulated file system, else a modelled disk
	// Durable: the machine is that of the service, which keeps its own state
	// (rsm.DurableMachine). In the other runs it is a small one with snapshots.
	Durable bool
	// UnlikeRuns: the runs of these have other lengths at each member, so that no two have the same
	// files.
	UnlikeRuns bool
	// StateDisk: these keep it on a disk of its own, which does not hang with that of the log.
	StateDisk bool
	// SaveBytes is how many bytes of entries fill a Save of the log.
	SaveBytes int
	// MaxUnwritten and MaxIndexBytes are those of state.Config.
	MaxUnwritten, MaxIndexBytes int64
	// ShortOutcomes: sessions have no room for the result of most transactions, and keep the code.
	ShortOutcomes bool

	Tick            time.Duration
	ElectionTimeout time.Duration // the longest of all nodes
	Unequal         bool          // each node draws its own settings, again at each start
	Snapshots       rsm.SnapshotPolicy
	MaxPendingBytes int
	MaxUnapplied    int
	MaxUnstable     int
	MaxAppendBytes  int
	MaxInflight     int
	LeaseReads      bool
	MaxClockDrift   float64

	Callers int // clients of all that the service has besides operations on one key
	Viewers int // clients that watch
	// Users: callers act for users, whose rights change.
	Users bool
	// Cold: there are keys that stay as they are.
	Cold bool
	// BirthQuota: the cluster begins with a quota, which is so large that it refuses nothing.
	BirthQuota bool
	// Limits: the quota and alarms change. LongAlarms: those that refuse all writes last longer than leases.
	Limits, LongAlarms bool
	Clients            int
	Streams            int // concurrent operations of a client
	Keys               int
	Reads              float64       // their share of all operations
	Padding            int           // bytes of a value, at most
	Think              time.Duration // between two operations, on average
	Attempt            time.Duration // how long a client waits for an answer
	Deadline           time.Duration // of an operation
	Forward            float64       // the share of writes that a follower forwards; it refuses the others
	// So many clients are eager: from EagerFor before the end of the faults on they have
	// almost no think time. Their share of reads is EagerReads, none of them by lease.
	Eager      int
	EagerFor   time.Duration
	EagerReads float64

	Distance   time.Duration // the least time that a message takes, also without faults
	Latency    time.Duration // the most that is added to it, without a spike
	SpikeShare float64       // the share of messages that take up to SpikeTo
	SpikeTo    time.Duration
	Loss       float64
	ClientLoss float64
	Duplicate  float64
	Ordered    bool // links keep the order of messages

	DiskWrite     time.Duration // of a save, at most
	SnapshotWrite time.Duration
	Apply         time.Duration
	Loop          time.Duration // how long an event waits until its process handles it, at most

	Faults []Fault
	// InjectionInterval is the time between two injections, on average.
	InjectionInterval time.Duration
}

// unlimited is a bound that no run reaches, in bytes.
const unlimited = 64 << 20

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// Nodes returns the number of all nodes, the spare ones included.
func (m *Mix) Nodes() int { return m.Voters + m.Learners + m.Spares }

// configuration returns the configuration at the birth of the cluster.
func (m *Mix) configuration() raft.Configuration {
	var ids []raft.NodeID
	for i := range m.Voters + m.Learners {
		ids = append(ids, raft.NodeID(i+1))
	}
	c := raft.NewConfiguration(ids[:m.Voters]...)
	if m.Learners > 0 {
		c.Learners = ids[m.Voters:]
	}
	if m.Witnesses > 0 {
		c.Witnesses = ids[m.Voters-m.Witnesses : m.Voters]
	}
	c.Context = contextOf(0, firstRoster(ids))
	return c
}

// witness tells whether a node is made to keep no state.
func (m *Mix) witness(id raft.NodeID) bool {
	return int(id) > m.Voters-m.Witnesses && int(id) <= m.Voters || m.SpareWitness && int(id) == m.Nodes()
}

// has tells whether the mix has a kind of fault.
func (m *Mix) has(f Fault) bool { return slices.Contains(m.Faults, f) }

// drawMix draws from what is allowed.
func drawMix(r *rand.Rand, allowed []Fault) Mix {
	m := Mix{
		Voters:            pick(r, 1, 3, 3, 3, 3, 5, 5, 5, 7),
		Learners:          pick(r, 0, 0, 0, 1, 2),
		WAL:               r.IntN(4) == 0,
		Tick:              10 * time.Millisecond,
		ElectionTimeout:   milliseconds(pick(r, 250, 500, 500, 1000)),
		Snapshots:         rsm.SnapshotPolicy{MaxRaftState: pick[int64](r, -1, 0, 300, 1000, 1000, 10000)},
		MaxPendingBytes:   unlimited,
		MaxWitness:        unlimited,
		MaxUnapplied:      pick(r, unlimited, 3_000, 20_000), // a follower accepts as much with each heartbeat
		MaxUnstable:       pick(r, unlimited, unlimited, 3_000, 20_000),
		MaxAppendBytes:    pick(r, 1<<20, 1<<20, 100, 1000),
		MaxInflight:       pick(r, 256, 256, 1, 4),
		MaxClockDrift:     pick(r, 0.1, 0.2),
		Callers:           pick(r, 0, 1, 2, 4),
		Viewers:           pick(r, 0, 1, 3, 4),
		Clients:           1 + r.IntN(8),
		Streams:           pick(r, 1, 1, 2, 4),
		Keys:              1 + r.IntN(6),
		Reads:             pick(r, 0.4, 0.4, 0.4, 0.9, 0.99),
		Padding:           pick(r, 0, 30, 30, 400, 5000),
		Attempt:           milliseconds(pick(r, 300, 1000, 1000)),
		Deadline:          milliseconds(pick(r, 1000, 3000, 10000)),
		Latency:           pick(r, 200*time.Microsecond, time.Millisecond, 5*time.Millisecond, 40*time.Millisecond),
		Ordered:           true,
		DiskWrite:         pick(r, 100*time.Microsecond, time.Millisecond, 10*time.Millisecond, 60*time.Millisecond),
		SnapshotWrite:     pick(r, time.Millisecond, 20*time.Millisecond, 400*time.Millisecond),
		Apply:             pick(r, 0, 100*time.Microsecond, 5*time.Millisecond, 80*time.Millisecond, 500*time.Millisecond),
		Loop:              pick(r, 0, 0, 100*time.Microsecond, 3*time.Millisecond),
		InjectionInterval: milliseconds(pick(r, 200, 500, 1500, 5000)),
	}
	if r.IntN(5) == 0 {
		m.withWitnesses(r)
	}
	m.Think = time.Duration(m.Clients*m.Streams) * time.Second / time.Duration(pick(r, 10, 20, 20, 40, 150))
	m.Eager, m.EagerReads = pick(r, 0, 0, 0, 0, 1, 2), pick(r, 0.1, 0.5, 1, 1, 1)
	m.Eager = min(m.Eager, m.Clients-1)
	m.EagerFor = pick(r, time.Second, time.Second, 6*time.Second)
	m.LeaseReads = r.IntN(2) == 0
	m.Unequal = r.IntN(3) == 0
	m.Snapshots.Share = pick(r, 0, 0, 0.5, 2)
	if r.IntN(10) == 0 {
		m.farApart()
	}
	m.drawFaults(r, allowed)
	m.MaxUnapplied = max(m.MaxUnapplied, 20*m.Padding) // else a node with a backlog never catches up
	m.MaxUnstable = max(m.MaxUnstable, 20*m.Padding)
	if m.Durable = r.IntN(4) > 0; !m.Durable {
		m.Viewers = 0 // a machine with snapshots has no history on disk
	}
	m.StateDisk = r.IntN(2) == 0
	m.UnlikeRuns = m.has(Rot) && r.IntN(2) == 0
	m.Forward = pick(r, 0, 0, 0.3, 1)
	if m.MaxInflight == 1 && m.MaxAppendBytes == 100 {
		// With one entry in a round trip less is executed than the clients' attempts ask for,
		// and all that is forwarded is executed, wanted still or not: none would end in time.
		m.Forward = 0
	}
	if m.Forward > 0 {
		// A follower that hears the leader and does not reach it answers nothing. A client has
		// to have the time to ask another.
		m.Deadline = max(m.Deadline, 3*m.Attempt)
	}
	m.ShortOutcomes = r.IntN(2) == 0
	m.Users = r.IntN(3) == 0
	m.Limits, m.Cold = r.IntN(4) == 0, m.Durable && r.IntN(3) == 0
	m.BirthQuota, m.LongAlarms = r.IntN(2) == 0, r.IntN(2) == 0
	return m
}

// withWitnesses makes a cluster of which some voters keep no state.
func (m *Mix) withWitnesses(r *rand.Rand) {
	m.Voters = pick(r, 3, 3, 3, 4)
	m.Witnesses = pick(r, 1, 1, m.Voters-2)
}

// farApart puts members on different continents: an answer takes longer than a heartbeat.
// Clients write all the time, and the limits are as large as that needs.
func (m *Mix) farApart() {
	m.Distance = 30 * time.Millisecond
	m.MaxUnapplied, m.MaxUnstable, m.MaxAppendBytes, m.MaxInflight = unlimited, unlimited, 1<<20, 256
	m.ElectionTimeout, m.Attempt, m.Deadline = time.Second, time.Second, max(m.Deadline, 3*time.Second)
	m.Clients, m.Streams, m.Reads, m.Think = 8, 4, min(m.Reads, 0.4), 100*time.Millisecond
	m.Keys = 12 // porcupine cannot decide 32 concurrent operations on one key
}

func (m *Mix) drawFaults(r *rand.Rand, allowed []Fault) {
	share := pick(r, 0.15, 0.4, 0.8)
	for f := range numFaults {
		if r.Float64() < share && slices.Contains(allowed, f) && m.fits(f) {
			m.Faults = append(m.Faults, f)
		}
	}
	for _, often := range []Fault{Members, Rot, IOError, Emptied} {
		if r.IntN(3) == 0 && !m.has(often) && slices.Contains(allowed, often) && m.fits(often) {
			m.Faults = append(m.Faults, often)
		}
	}
	if m.has(Rot) {
		m.Padding = max(m.Padding, 400) // there are full files soon
	}
	if m.has(Loss) {
		m.Loss = pick(r, 0.01, 0.05, 0.25)
	}
	if m.has(ClientLoss) {
		m.ClientLoss = pick(r, 0.01, 0.05, 0.15)
	}
	if m.has(Duplicate) {
		m.Duplicate = pick(r, 0.02, 0.2)
	}
	if m.has(Reorder) {
		m.Ordered = false
	}
	if m.has(Delay) {
		m.SpikeShare, m.SpikeTo = pick(r, 0.01, 0.1), pick(r, 100*time.Millisecond, time.Second, 4*time.Second)
	}
	if m.has(FullQueue) {
		m.MaxPendingBytes = pick(r, 200, 2000)
	}
	if m.has(Members) {
		m.Spares = pick(r, 1, 2, 3, min(m.Voters, 5))
		m.SpareWitness = m.Voters <= 4 && r.IntN(3) == 0
	}
	if m.Witnesses > 0 || m.SpareWitness { // it takes that much with each heartbeat, and has no larger log
		m.MaxPendingBytes = max(m.MaxPendingBytes, 2000)
	}
	if (m.Witnesses > 0 || m.SpareWitness) && !m.has(Corrupt) && !m.has(Emptied) && r.IntN(3) == 0 { // with a member away for good it stays full
		m.MaxPendingBytes, m.MaxAppendBytes = max(2000, 6*m.Padding), min(m.MaxAppendBytes, 1000) // the first bounds messages too
		m.MaxWitness = pick(r, 1000, 10_000)
	}
	if m.has(Minority) && r.IntN(3) == 0 {
		m.undisturbed()
	}
}

// undisturbed leaves only the fault of a minority, in a cluster that has to make progress beside it
// (see attention).
func (m *Mix) undisturbed() {
	m.Faults, m.Spares, m.SpareWitness = []Fault{Minority}, 0, false
	m.Loss, m.SpikeShare, m.Ordered, m.MaxPendingBytes, m.MaxWitness = min(m.Loss, 0.05), 0, true, unlimited, unlimited
	m.MaxUnapplied, m.MaxInflight, m.MaxAppendBytes = unlimited, 256, 1<<20
}

// leaveOut removes a kind of fault that was drawn.
func (m *Mix) leaveOut(f Fault) {
	switch f {
	case Loss:
		m.Loss = 0
	case ClientLoss:
		m.ClientLoss = 0
	case Duplicate:
		m.Duplicate = 0
	case Reorder:
		m.Ordered = true
	case Delay:
		m.SpikeShare = 0
	case FullQueue:
		m.MaxPendingBytes = unlimited
	}
}

// fits tells whether f makes sense in this cluster.
func (m *Mix) fits(f Fault) bool {
	switch f {
	case Corrupt: // a minority may lose its disk for good
		return m.Voters >= 3 && m.WAL
	case Partition, OneWay, Link, Flap, LoseFollowers, InstallCrash, Reset, Transfer, Minority:
		return m.Voters >= 3
	case Rot: // one may be behind while another is repaired
		return m.Voters-m.Witnesses >= 3
	case Emptied: // a member that has lost its directory is to be removed
		return m.Voters >= 3 && m.has(Members)
	case Bridge:
		return m.Voters >= 5
	}
	return true
}

// drawRate draws the rate of a clock, often the lowest or the highest that is allowed.
func (m *Mix) drawRate(chance uint64) float64 {
	lowest, highest := m.rates()
	switch chance % 4 {
	case 0:
		return lowest
	case 1:
		return highest
	}
	return lowest + float64(chance>>2%1024)/1023*(highest-lowest)
}

// rates returns the lowest and the highest rate of the nodes' clocks. With leases they
// differ by no more than MaxClockDrift allows.
func (m *Mix) rates() (lowest, highest float64) {
	if !m.LeaseReads {
		return 0.5, 2
	}
	return 1 - m.MaxClockDrift/2, 1 + m.MaxClockDrift/2
}

// raftConfig returns the configuration of the core, for one process of a node. A hasty one has the shortest
// timeout and lease, if settings differ.
func (m *Mix) raftConfig(id raft.NodeID, hasty bool, r *rand.Rand) raft.Config {
	timeout, leases := m.ElectionTimeout, m.LeaseReads
	if m.Unequal {
		share := pick[time.Duration](r, 1, 1, 2, 4)
		if hasty {
			share = 4
		}
		timeout = max(timeout/share, 12*m.Tick+4*m.Distance)
		leases = leases && r.IntN(4) > 0
	}
	c := raft.Config{
		ID: id, Rand: r,
		Witness: m.witness(id), MaxWitnessBytes: m.MaxWitness,
		HeartbeatTicks: 5, ElectionTimeoutTicks: int(timeout / m.Tick),
		MaxPendingBytes: m.MaxPendingBytes, MaxUnappliedBytes: m.MaxUnapplied, MaxUnstableBytes: m.MaxUnstable, MaxAppendBytes: m.MaxAppendBytes, MaxInflightAppends: m.MaxInflight,
	}
	if leases {
		c.LeaseDuration, c.MaxClockDrift = raft.Nanos(timeout), m.MaxClockDrift
	}
	return c
}
