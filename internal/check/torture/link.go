package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// ending is how connections end.
type ending int

const (
	cut   ending = iota // both sides see a close
	reset               // both sides see a reset
)

// link is one connection through a proxy.
type link struct {
	p    *proxy
	once sync.Once
	over chan struct{} // closed when the link has ended

	// Guarded by p.mu. ends[up] is the side that bytes going up come from; ends[down],
	// the target, is nil until it was reached.
	ends    [2]*net.TCPConn
	lost    [2]bool // bytes of this direction were dropped
	damaged bool
}

// join adds the target's side, and tells whether the link is still wanted.
func (l *link) join(far *net.TCPConn) bool {
	l.p.mu.Lock()
	l.ends[down] = far
	l.p.mu.Unlock()
	select {
	case <-l.over: // end may not have seen far
		hangUp(far, reset)
		return false
	default:
		return true
	}
}

// end ends the link; its goroutines follow.
func (l *link) end(how ending) {
	l.once.Do(func() {
		close(l.over)
		l.p.mu.Lock()
		ends := l.ends
		l.p.mu.Unlock()
		for _, conn := range ends {
			if conn != nil {
				hangUp(conn, how)
			}
		}
	})
}

func hangUp(conn *net.TCPConn, how ending) {
	if how == reset {
		_ = conn.SetLinger(0) // else it is closed already
	}
	_ = conn.Close()
}

// pump forwards bytes from one side until it has closed or the link is over.
func (l *link) pump(d direction) {
	from, to := l.ends[d], l.ends[1-d]
	buf := make([]byte, pieceSize)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.pass(d, to, buf[:n]) {
			return
		}
		if err != nil {
			l.closed(d, to, err)
			return
		}
	}
}

// pass forwards b, impaired, and tells whether the link goes on.
func (l *link) pass(d direction, to *net.TCPConn, b []byte) bool {
	for first := true; len(b) > 0; {
		i, changed := l.p.impair(l, d, len(b))
		if i.blackHole[d] {
			return true
		}
		if pause := l.p.pause(i, first); pause > 0 {
			switch l.wait(pause, changed) {
			case linkOver:
				return false
			case impairmentChanged:
				continue
			}
		}
		first = false
		n := len(b)
		if i.trickle > 0 {
			n = min(n, i.trickle)
		}
		l.p.count(l, d, b[:n])
		if _, err := to.Write(b[:n]); err != nil {
			l.end(endingOf(err))
			return false
		}
		b = b[n:]
	}
	return true
}

// closed forwards the close or reset of the side that d comes from, unless there is a black
// hole.
func (l *link) closed(d direction, to *net.TCPConn, err error) {
	for {
		i, changed := l.p.impair(l, d, 0)
		if i.blackHole[d] {
			<-l.over // when the black hole ends, at the latest
			return
		}
		pause := l.p.pause(i, true)
		if pause == 0 {
			break
		}
		if why := l.wait(pause, changed); why != impairmentChanged {
			break
		}
	}
	if errors.Is(err, io.EOF) && to.CloseWrite() == nil {
		return // the other direction may go on
	}
	l.end(endingOf(err))
}

// endingOf returns how an error of one side ends the other side.
func endingOf(err error) ending {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return reset
	}
	return cut
}

// woken is why a wait has ended.
type woken int

const (
	timePassed woken = iota
	impairmentChanged
	linkOver
)

func (l *link) wait(d time.Duration, changed <-chan struct{}) woken {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return timePassed
	case <-changed:
		return impairmentChanged
	case <-l.over:
		return linkOver
	}
}
