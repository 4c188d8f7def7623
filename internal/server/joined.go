package server

import (
	"errors"
	"net"
	"sync"
)

// joined is a listener that accepts what several others do. Its address is that of the first one.
type joined struct {
	listeners []net.Listener
	accepted  chan accepted
	closed    chan struct{}
	closing   sync.Once
	accepting sync.WaitGroup
}

// accepted is what one of the listeners returned.
type accepted struct {
	conn net.Conn
	err  error
}

// join returns one listener in place of several.
func join(listeners []net.Listener) net.Listener {
	if len(listeners) == 1 {
		return listeners[0]
	}
	j := &joined{listeners: listeners, accepted: make(chan accepted), closed: make(chan struct{})}
	for _, l := range listeners {
		j.accepting.Go(func() { j.accept(l) })
	}
	return j
}

// accept hands on what one listener returns. After an error, as by want of descriptors, it is for
// the caller to pause.
func (j *joined) accept(l net.Listener) {
	for {
		var a accepted
		a.conn, a.err = l.Accept()
		select {
		case j.accepted <- a:
		case <-j.closed:
			if a.err == nil {
				a.conn.Close()
			}
			return
		}
	}
}

// Accept implements net.Listener.
func (j *joined) Accept() (net.Conn, error) {
	select {
	case a := <-j.accepted:
		return a.conn, a.err
	case <-j.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements net.Listener.
func (j *joined) Addr() net.Addr { return j.listeners[0].Addr() }

// Close implements net.Listener. It closes all.
func (j *joined) Close() error {
	var errs []error
	j.closing.Do(func() {
		close(j.closed)
		for _, l := range j.listeners {
			errs = append(errs, l.Close())
		}
	})
	j.accepting.Wait()
	return errors.Join(errs...)
}
