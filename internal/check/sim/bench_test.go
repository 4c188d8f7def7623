package sim

import (
	"testing"
	"time"
)

// BenchmarkSimulatedHour runs three nodes with leases and 20 operations a second, in
// quiet: what the simulator itself costs.
func BenchmarkSimulatedHour(b *testing.B) {
	opt := Options{Duration: 10 * time.Minute, Faults: []Fault{}, Disk: ModelledDisk, Edit: func(m *Mix) {
		m.Voters, m.Learners, m.ElectionTimeout, m.Snapshots.MaxRaftState = 3, 0, 500*time.Millisecond, 10000
		m.Reads, m.Eager = 0.4, 0
		m.Clients, m.Streams, m.Think, m.Keys, m.Padding = 5, 1, 250*time.Millisecond, 20, 30
		m.Distance, m.Latency, m.DiskWrite, m.Apply, m.Loop = 0, time.Millisecond, time.Millisecond, 100*time.Microsecond, 0
	}}
	simulated := time.Duration(0)
	for b.Loop() {
		opt.Seed++
		r := Run(opt)
		if r.Violation != nil {
			b.Fatal(r.Violation)
		}
		simulated += r.Simulated
	}
	b.ReportMetric(simulated.Hours()/b.Elapsed().Minutes(), "sim-hours/min")
}
