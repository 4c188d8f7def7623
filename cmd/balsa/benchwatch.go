package main

import (
	"context"
	"net"
	"runtime"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/loadgen"
	"balsa.example/internal/machine"
)

// benchWatch measures what a load takes of the leader and of this process.
type benchWatch struct {
	connection *connection
	surveyor   *surveyor
	before     map[uint64]*api.StatusReply
	processor  time.Duration
}

func beginBenchWatch(ctx context.Context, n *connection, ck *clerk.Clerk) *benchWatch {
	w := &benchWatch{connection: n, surveyor: newSurveyor(ck, n)}
	w.before = byID(n.ask(ctx, w.surveyor))
	w.processor, _ = machine.ProcessorTime()
	return w
}

// end returns the figures, after the load has ended.
func (w *benchWatch) end(ctx context.Context, report *loadgen.Report) *benchFigures {
	f := &benchFigures{report: report, processors: runtime.GOMAXPROCS(0), servers: sameMachine}
	if now, ok := machine.ProcessorTime(); ok {
		f.client = now - w.processor
	}
	ctx = context.WithoutCancel(ctx) // a load that Ctrl-C has ended has a verdict, too
	var leader clerk.ServerStatus
	for _, a := range w.connection.ask(ctx, w.surveyor) {
		if a.Err != nil {
			continue
		}
		if !isLoopback(a.Endpoint) {
			f.servers = apart
		}
		if a.Status.Role == api.Role_LEADER && (leader.Status == nil || a.Status.Term > leader.Status.Term) {
			leader = a
		}
	}
	// The same one must have led all the time.
	if before := w.before[leader.Status.GetNodeId()]; before != nil && before.Role == api.Role_LEADER && before.Term == leader.Status.Term {
		f.before, f.after = before, leader.Status
		f.roundTrip = roundTrip(ctx, hostPort(leader.Endpoint))
	}
	return f
}

func isLoopback(endpoint string) bool {
	host, _, _ := net.SplitHostPort(hostPort(endpoint))
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// roundTrip is the shortest that it took to connect to an address; 0 if that fails.
func roundTrip(ctx context.Context, address string) (best time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for range 3 {
		began := time.Now()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return 0
		}
		if took := time.Since(began); best == 0 || took < best {
			best = took
		}
		conn.Close()
	}
	return best
}
