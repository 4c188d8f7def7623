package etcd

import (
	"io"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/internal/wake"
)

// maxStreamKeepAlives bounds the keep-alives of one stream that wait. While there are so many no
// further one is received.
const maxStreamKeepAlives = 256

// keepAlives are those of one stream. One goroutine receives them and hands them to the Node, that
// of the stream sends the answers. Many streams have a single request, so none has a goroutine, a
// channel or a context of its own.
type keepAlives struct {
	face   *Face
	caller *Caller
	stream Stream
	// answered wakes the goroutine that sends, room the one that receives.
	answered, room wake.Signal

	mu      sync.Mutex
	waiting []*keepAlive // in the order in which they came, at most maxStreamKeepAlives
	ended   error        // why no more are received
}

// keepAlive is one of them.
type keepAlive struct {
	came time.Time
	id   int64
	// header is from before the lease is renewed: else a client could believe in a lease at a
	// revision at which it was gone.
	header    *pb.ResponseHeader
	permitted func() error // says whether the user still had the right

	done bool // guarded by keepAlives.mu, as is what follows
	ttl  int64
	err  error
}

// LeaseKeepAlive lets leases live on. Keep-alives that come together are proposed together, and
// answered in the order in which they came.
func (f *Face) LeaseKeepAlive(c *Caller, s Stream) error {
	k := &keepAlives{face: f, caller: c, stream: s, answered: wake.New(), room: wake.New()}
	go k.receive()
	var leaderless <-chan struct{}
	if c.RequireLeader && f.cfg.Watches.Leaderless != nil {
		leaderless = f.cfg.Watches.Leaderless()
	}
	for late := f.late(); ; {
		oldest, done, err := k.oldest()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case done:
			if err := k.send(oldest); err != nil {
				return err
			}
			continue
		}
		select {
		case <-k.answered.C(): // also when the stream has ended: nothing is received any more
		case <-late: // also while none waited: one that comes does not wake this goroutine
			if late = k.later(); late == nil {
				return translate.ErrTimeout
			}
		case <-leaderless:
			return translate.ErrNoLeader
		case <-s.Stopping():
			return translate.ErrStopped
		}
	}
}

// oldest returns the one to be answered next, nil if none waits, and whether the Node is done with
// it. The error is why there will be none. Where the client has only ended its side, those that wait are
// answered first; where it is gone, nobody reads the answers.
func (k *keepAlives) oldest() (a *keepAlive, done bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case len(k.waiting) == 0:
		return nil, false, k.ended
	case k.ended != nil && k.stream.Context().Err() != nil:
		return nil, false, k.ended
	}
	return k.waiting[0], k.waiting[0].done, nil
}

// later is closed when the oldest has waited as long as a request may; nil: it has. Few streams last so
// long that they ask for it, and the others share what is closed.
func (k *keepAlives) later() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.waiting) == 0 || k.waiting[0].done {
		return k.face.late()
	}
	left := k.face.requestTimeout() - time.Since(k.waiting[0].came)
	if left <= 0 {
		return nil
	}
	late := make(chan struct{})
	time.AfterFunc(left, func() { close(late) })
	return late
}

// send answers the oldest, with which the Node is done.
func (k *keepAlives) send(a *keepAlive) error {
	k.mu.Lock()
	k.waiting = k.waiting[1:]
	k.mu.Unlock()
	k.room.Set()
	err := a.err
	if err == nil {
		err = a.permitted()
	}
	if err != nil {
		return failed(err, translate.ReadFailed)
	}
	return k.stream.Send(translate.KeepAliveResponse(a.header, a.id, a.ttl))
}

// receive hands what it receives to the Node, until the stream ends.
func (k *keepAlives) receive() {
	for {
		r := new(pb.LeaseKeepAliveRequest)
		if err := k.stream.Receive(r); err != nil {
			k.end(err)
			return
		}
		a := &keepAlive{id: r.ID, came: time.Now(), header: k.face.header()}
		if err := k.add(a); err != nil {
			k.end(err)
			return
		}
		var err error
		if a.permitted, err = k.begin(a.id); err != nil {
			k.done(a, 0, err)
			continue
		}
		k.face.cfg.Node.KeepAlive(a.id, func(ttl int64, err error) { k.done(a, ttl, err) })
	}
}

// begin checks the right to let a lease live on. A refusal may be late news, so it is decided again with all that
// the other members have executed.
func (k *keepAlives) begin(id int64) (end func() error, err error) {
	access, user := k.face.access, k.caller.user
	if end, err = access.BeginLease(user, id, true); err == nil {
		return end, nil
	}
	if err := k.face.fresh(k.stream.Context()); err != nil {
		return nil, err
	}
	return access.BeginLease(user, id, true)
}

// add lets a keep-alive wait for its answer. It fails if the stream ends before there is room for it.
func (k *keepAlives) add(a *keepAlive) error {
	for {
		k.mu.Lock()
		full := len(k.waiting) >= maxStreamKeepAlives
		if !full {
			k.waiting = append(k.waiting, a)
		}
		k.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-k.room.C():
		case <-k.stream.Context().Done():
			return k.stream.Context().Err()
		}
	}
}

// done takes the answer of the Node.
func (k *keepAlives) done(a *keepAlive, ttl int64, err error) {
	k.mu.Lock()
	a.done, a.ttl, a.err = true, ttl, err
	k.mu.Unlock()
	k.answered.Set()
}

// end notes that no more are received.
func (k *keepAlives) end(err error) {
	k.mu.Lock()
	k.ended = err
	k.mu.Unlock()
	k.answered.Set()
}
