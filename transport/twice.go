package transport

import (
	"fmt"
	"net"
	"time"

	"balsa.example/internal/fair"
)

// Two processes may speak for one node: somebody has copied its data directory, or started
// it a second time elsewhere. Each process draws a boot number, so that others can tell
// them apart. Who is connected with one of them shuts the other out, for as long as the
// first one lives, and tells both. A process that was started again finds no other one: the
// connections of the first have ended, or nothing arrives on them any more.

// settleBeats is after how many beats what arrives was surely not sent before, in a network
// that has not lost it: a process that has ended is not to be taken for one that lives.
// decideBeats is how long it takes until a life is proved.
const (
	settleBeats = 1
	decideBeats = 4
)

// rivals returns the connections with other processes of the peer than the one of that
// boot. Caller holds mu.
func (p *peer) rivals(boot [16]byte) []*line {
	var all []*line
	for _, l := range []*line{p.out, p.in} {
		if l != nil && l.boot != boot && l.ctx.Err() == nil {
			all = append(all, l)
		}
	}
	return all
}

// judgeProcess refuses a process of the peer beside which another one lives. If there is
// one that seems not to, that is hung up.
func (p *peer) judgeProcess(conn net.Conn, who identity) error {
	heard := make(map[*line]int64) // what had arrived when the network had settled
	for beats := 0; ; beats++ {
		p.mu.Lock()
		rivals := p.rivals(who.boot)
		p.mu.Unlock()
		if len(rivals) == 0 {
			return nil
		}
		for _, l := range rivals {
			switch {
			case l.quiet():
				l.hangUp()
			case beats <= settleBeats:
				heard[l] = l.ear.heard.Load()
			case beats >= decideBeats && l.ear.heard.Load() > heard[l]:
				return p.refuseTwin(conn, who, l)
			case beats >= decideBeats:
				return &Refusal{Code: Later, Reason: "an earlier process of " + who.String() + " may live yet"}
			}
		}
		pause(p.ctx, nil, beat)
		if p.ctx.Err() != nil {
			return ErrClosed
		}
	}
}

// refuseTwin refuses a process beside which another one lives, to which l leads, and tells
// that one too.
func (p *peer) refuseTwin(conn net.Conn, who identity, l *line) error {
	host := fair.Source(conn.RemoteAddr())
	p.t.work.Go(func() {
		l.write(appendLayout(nil, frameAlive, func(c *coder) { c.lifeSign(l.lifeSign(host)) }))
	})
	return &Refusal{Code: Twice, Reason: fmt.Sprintf(
		"%s runs twice, on one data directory or a copy of it: %s is connected to the one at %s, and shuts out the one at %s",
		who, p.t.self, fair.Source(l.conn.RemoteAddr()), host)}
}

// twinSeen is told to a node whose twin was shut out.
func (t *Transport) twinSeen(by *peer, host string) {
	warn(t.twins, "this node runs twice, on one data directory or a copy of it; the other one is shut out",
		fmt.Errorf("another process speaks for %s at %.256s", t.self, host), "seen by", by.id)
}

// lifeSign is what an alive frame says, a twin's host included if one was shut out.
func (l *line) lifeSign(twin string) *lifeSign {
	return &lifeSign{uint64(l.peer.t.cfg.Limits.Silence / time.Millisecond), []byte(twin)}
}
