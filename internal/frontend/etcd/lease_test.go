package etcd_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/rsm"
)

func TestGrant(t *testing.T) {
	w := newWorld(t)
	same(t, "grant", do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 60}), &pb.LeaseGrantResponse{Header: header(1), ID: 5, TTL: 60})
	drawn := do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{TTL: 9_000_000_000})
	if drawn.ID <= 0 || drawn.TTL != 9_000_000_000 {
		t.Errorf("%v", drawn)
	}
	// An election takes 1 s.
	for _, ttl := range []int64{-1, 0, 1} {
		if r := do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{TTL: ttl}); r.TTL != 2 {
			t.Errorf("time to live %d became %d", ttl, r.TTL)
		}
	}
	for want, r := range map[*translate.Error]*pb.LeaseGrantRequest{
		translate.ErrLeaseTTLTooLarge: {TTL: 9_000_000_001},
		translate.ErrLeaseExist:       {ID: 5, TTL: 10},
	} {
		_, err := w.LeaseGrant(t.Context(), w.any, r)
		refused(t, err, want)
	}
}

// A lease may have gigabytes of keys. Those that fit into a response are told, and more are refused as in any other one.
func TestKeysOfALeaseFitIntoAResponse(t *testing.T) {
	w := newWorld(t)
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 60})
	for _, key := range []string{"a", "bc", "def"} {
		do(t, w, w.Put, &pb.PutRequest{Key: []byte(key), Lease: 5})
	}
	for _, fits := range []bool{true, false} {
		last := int64(6)
		if !fits {
			last--
		}
		restore := etcd.SetResponseSteps(1, last)
		r, err := w.LeaseTimeToLive(t.Context(), w.any, &pb.LeaseTimeToLiveRequest{ID: 5, Keys: true})
		short := do(t, w, w.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 5})
		restore()
		if short.GrantedTTL != 60 {
			t.Errorf("without keys: %v", short)
		}
		if fits && (err != nil || len(r.Keys) != 3) {
			t.Errorf("with room for all: %v, %v", r, err)
		} else if !fits {
			refused(t, err, etcd.ErrResponseTooLarge)
		}
	}
}

func TestLeaseEndsWithItsKeys(t *testing.T) {
	w := newWorld(t)
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 60})
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 4, TTL: 10})
	for _, key := range []string{"b", "a"} {
		do(t, w, w.Put, &pb.PutRequest{Key: []byte(key), Lease: 5})
	}
	w.node.pass(0) // the leases begin to count at the second stamp at the latest
	w.node.pass(0)
	w.node.pass(3500 * time.Millisecond)
	same(t, "time to live", do(t, w, w.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 5, Keys: true}),
		&pb.LeaseTimeToLiveResponse{Header: header(3), ID: 5, TTL: 56, GrantedTTL: 60, Keys: [][]byte{[]byte("a"), []byte("b")}})
	same(t, "without keys", do(t, w, w.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 5}),
		&pb.LeaseTimeToLiveResponse{Header: header(3), ID: 5, TTL: 56, GrantedTTL: 60})
	same(t, "all", do(t, w, w.LeaseLeases, &pb.LeaseLeasesRequest{}),
		&pb.LeaseLeasesResponse{Header: header(3), Leases: []*pb.LeaseStatus{{ID: 4}, {ID: 5}}})
	same(t, "revoke", do(t, w, w.LeaseRevoke, &pb.LeaseRevokeRequest{ID: 5}), &pb.LeaseRevokeResponse{Header: header(4)})
	if r := do(t, w, w.Range, get("\x00", "\x00")); r.Count != 0 {
		t.Errorf("keys of the revoked lease: %v", r)
	}
	same(t, "time to live of none", do(t, w, w.LeaseTimeToLive, &pb.LeaseTimeToLiveRequest{ID: 5, Keys: true}),
		&pb.LeaseTimeToLiveResponse{Header: header(4), ID: 5, TTL: -1})
	for _, id := range []int64{0, 5} {
		_, err := w.LeaseRevoke(t.Context(), w.any, &pb.LeaseRevokeRequest{ID: id})
		refused(t, err, translate.ErrLeaseNotFound)
	}
}

func TestMinTTLIsOneAndAHalfElections(t *testing.T) {
	for timeout, want := range map[time.Duration]int64{
		0: 1, 500 * time.Millisecond: 1, time.Second: 2, 2 * time.Second: 3, 2001 * time.Millisecond: 4,
	} {
		if got := translate.MinTTL(int64(timeout)); got != want {
			t.Errorf("%s: %d s, want %d", timeout, got, want)
		}
	}
}

// pipe is a Stream in memory.
type pipe struct {
	ctx      context.Context
	requests chan proto.Message
	sent     chan proto.Message
}

func newPipe(ctx context.Context, room int) *pipe {
	return &pipe{ctx, make(chan proto.Message, room), make(chan proto.Message, room)}
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Stopping() <-chan struct{} { return p.ctx.Done() }

func (p *pipe) Receive(m proto.Message) error {
	select {
	case r, ok := <-p.requests:
		if !ok {
			return io.EOF
		}
		proto.Merge(m, r)
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) Send(m proto.Message) error {
	select {
	case p.sent <- proto.Clone(m):
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func TestKeepAlivesAreAnsweredInOrder(t *testing.T) {
	w := newWorld(t)
	do(t, w, w.LeaseGrant, &pb.LeaseGrantRequest{ID: 5, TTL: 60})
	p := newPipe(t.Context(), 100)
	for i := range 60 {
		p.requests <- &pb.LeaseKeepAliveRequest{ID: int64(5 + i%3)}
	}
	close(p.requests)
	if err := w.LeaseKeepAlive(w.any, p); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		want := &pb.LeaseKeepAliveResponse{Header: header(1), ID: int64(5 + i%3)}
		if want.ID == 5 {
			want.TTL = 60
		}
		same(t, "answer", <-p.sent, want)
	}
}

func TestKeepAliveStreamIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node.silent = true
		ctx, cancel := context.WithCancel(t.Context())
		p := newPipe(ctx, 2000)
		for range 2000 {
			p.requests <- &pb.LeaseKeepAliveRequest{ID: 1}
		}
		ended := make(chan error, 1)
		go func() { ended <- w.LeaseKeepAlive(w.any, p) }()
		synctest.Wait()
		// 256 wait for their answers, and one more was received.
		if taken := 2000 - len(p.requests); taken != 257 {
			t.Errorf("%d were received before any was answered", taken)
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("the stream ended without an error")
		}
	})
}

// lasting is a pipe of a server that does not stop.
type lasting struct{ *pipe }

func (lasting) Stopping() <-chan struct{} { return nil }

// A client that is gone does not wait for answers, so its stream ends at once, however many of its keep-alives wait.
// One that has only ended its side does.
func TestKeepAliveStreamEndsWithItsClient(t *testing.T) {
	for _, waiting := range []int{1, 300} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.node.silent = true
			ctx, cancel := context.WithCancel(t.Context())
			p := newPipe(ctx, waiting)
			for range waiting {
				p.requests <- &pb.LeaseKeepAliveRequest{ID: 1}
			}
			ended := make(chan error, 1)
			go func() { ended <- w.LeaseKeepAlive(w.any, lasting{p}) }()
			synctest.Wait()
			began := time.Now()
			cancel()
			if err := <-ended; err != context.Canceled || time.Since(began) > 0 {
				t.Errorf("%d waited: %v after %s", waiting, err, time.Since(began))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node.silent = true
		p := newPipe(t.Context(), 1)
		p.requests <- &pb.LeaseKeepAliveRequest{ID: 1}
		close(p.requests)
		refused(t, w.LeaseKeepAlive(w.any, p), translate.ErrTimeout)
	})
}

func TestKeepAliveStreamEndsWithTheErrorOfTheNode(t *testing.T) {
	w := newWorld(t)
	w.node.keepAliveErr = &rsm.NotLeaderError{}
	p := newPipe(t.Context(), 1)
	p.requests <- &pb.LeaseKeepAliveRequest{ID: 1}
	refused(t, w.LeaseKeepAlive(w.any, p), translate.ErrNoLeader)
}

func TestKeepAliveWithoutAnAnswerEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := newPipe(ctx, 2)
		ended := make(chan error, 1)
		go func() { ended <- w.LeaseKeepAlive(w.any, p) }()
		time.Sleep(time.Minute) // a stream without requests has no end
		p.requests <- &pb.LeaseKeepAliveRequest{ID: 1}
		<-p.sent
		w.node.silent = true
		began := time.Now()
		p.requests <- &pb.LeaseKeepAliveRequest{ID: 1}
		refused(t, <-ended, translate.ErrTimeout)
		if took := time.Since(began); took != 7*time.Second { // an election takes 1 s
			t.Errorf("it ended after %s", took)
		}
	})
}

func TestKeepAliveOfALeaseThatLivesHasTimeLeft(t *testing.T) {
	h := header(1)
	for ttl, want := range map[int64]int64{0: 0, 1: 1, 1_500_000_000: 1, 2_000_000_000: 2} {
		if got := translate.KeepAliveResponse(h, 1, ttl).TTL; got != want {
			t.Errorf("%d ns: %d s, want %d", ttl, got, want)
		}
	}
}

func TestMethodsRefuseWithoutALeaderWhatRequiresOne(t *testing.T) {
	w := newWorld(t)
	w.node.leader = 0
	need := *w.any
	need.RequireLeader = true
	for _, m := range etcd.Methods {
		if m.Call != nil {
			_, err := m.Call(w.Face, t.Context(), &need, m.NewRequest())
			refused(t, err, translate.ErrNoLeader)
		} else {
			refused(t, m.Serve(w.Face, &need, newPipe(t.Context(), 1)), translate.ErrNoLeader)
		}
	}
}

func TestKeepAliveStreamThatNeedsALeaderEndsWithoutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, leaderless := newWorld(t), make(chan struct{})
		w.Face = etcd.New(etcd.Config{
			Node: w.node, Member: w.node, ElectionTimeout: time.Second,
			Watches: etcd.Watches{Leaderless: func() <-chan struct{} { return leaderless }},
		})
		for _, need := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- w.LeaseKeepAlive(&etcd.Caller{RequireLeader: need}, newPipe(ctx, 1)) }()
			synctest.Wait()
			if need {
				close(leaderless)
				refused(t, <-ended, translate.ErrNoLeader)
			} else if len(ended) > 0 {
				t.Errorf("a stream that needs no leader ended: %v", <-ended)
			}
			cancel()
			synctest.Wait()
		}
	})
}
