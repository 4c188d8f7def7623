package transport

import (
	"crypto/rand"
	"fmt"
	"net"

	"balsa.example/internal/fair"
)

// Two processes may speak for one node: its data directory was copied, or the node was
// started a second time elsewhere. Each process draws a random processID, which tells them
// apart. A node that is connected to one process refuses the other for as long as the first
// one lives, and tells both. A process that was started again finds no other one: the
// connections of the first have ended, or nothing arrives on them any more.

// processID is drawn by each process.
type processID [16]byte

func newProcessID() (id processID) {
	rand.Read(id[:])
	return id
}

// A process that has ended must not be taken for one that lives, because of bytes that it
// had sent before. After settleIntervals those have arrived, unless the network has lost
// them. If more bytes have arrived after decideIntervals, the process lives.
const (
	settleIntervals = 1
	decideIntervals = 4
)

// otherProcesses returns the connections to other processes of the peer than this one.
// Caller holds mu.
func (p *peer) otherProcesses(id processID) []*connection {
	var all []*connection
	for _, c := range []*connection{p.out, p.in} {
		if c != nil && c.process != id && c.ctx.Err() == nil {
			all = append(all, c)
		}
	}
	return all
}

// checkProcess refuses a process of the peer while another one lives. Connections to
// processes that seem to be dead are closed.
func (p *peer) checkProcess(conn net.Conn, remote identity) error {
	settled := make(map[*connection]int64) // arrivals, when the network had settled
	for intervals := 0; ; intervals++ {
		p.mu.Lock()
		others := p.otherProcesses(remote.process)
		p.mu.Unlock()
		if len(others) == 0 {
			return nil
		}
		for _, c := range others {
			switch {
			case c.isIdle():
				c.hangUp()
			case intervals <= settleIntervals:
				settled[c] = c.monitor.arrivals.Load()
			case intervals >= decideIntervals && c.monitor.arrivals.Load() > settled[c]:
				return p.refuseDuplicate(conn, remote, c)
			case intervals >= decideIntervals:
				return &Refusal{Code: CodeNotYet, Reason: "an earlier process of " + remote.String() + " may live yet"}
			}
		}
		pause(p.ctx, nil, keepaliveInterval)
		if p.ctx.Err() != nil {
			return ErrClosed
		}
	}
}

// refuseDuplicate refuses a process, because c leads to another one that lives. It tells that
// one, too.
func (p *peer) refuseDuplicate(conn net.Conn, remote identity, c *connection) error {
	host := fair.Source(conn.RemoteAddr())
	p.t.work.Go(func() {
		c.write(appendLayout(nil, frameKeepalive, func(to *coder) { to.keepalive(c.ownKeepalive(host)) }))
	})
	return &Refusal{Code: CodeDuplicate, Reason: fmt.Sprintf(
		"%s runs twice, on one data directory or a copy of it: %s is connected to the one at %s, and shuts out the one at %s",
		remote, p.t.self, fair.Source(c.conn.RemoteAddr()), host)}
}

// duplicateSeen logs that a peer has refused another process that speaks for this node.
func (t *Transport) duplicateSeen(by *peer, host string) {
	warn(t.duplicates, "this node runs twice, on one data directory or a copy of it; the other one is shut out",
		fmt.Errorf("another process speaks for %s at %.256s", t.self, host), "seen by", by.id)
}
