package clients

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var errTooMany = status.Error(codes.ResourceExhausted, "too many")

// answering is a service with one unary method, whose responses have the request's text.
type answering struct {
	hold    chan struct{} // a call waits for it
	running atomic.Int64
	most    atomic.Int64
}

const answerMethod = "/test.Answering/Answer"

func (a *answering) register(to grpc.ServiceRegistrar) {
	handler := func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		req := new(healthpb.HealthCheckRequest)
		if err := decode(req); err != nil {
			return nil, err
		}
		return intercept(ctx, req, &grpc.UnaryServerInfo{FullMethod: answerMethod}, func(ctx context.Context, _ any) (any, error) {
			n := a.running.Add(1)
			defer a.running.Add(-1)
			for m := a.most.Load(); n > m && !a.most.CompareAndSwap(m, n); m = a.most.Load() {
			}
			select {
			case <-a.hold:
				return proto.Clone(req), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
	}
	to.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Answering", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Answer", Handler: handler}},
	}, a)
}

// openAnswering is a Port that serves a.
func openAnswering(ctx context.Context, l Limits, b Bounds, a *answering) *openPort {
	b.TooMany = errTooMany
	return openWith(ctx, l, func(p *Port) { a.register(p.Within(b)) })
}

// Thousands of callers share one connection, as those of an etcd client do, and none waits in the
// client for the others.
func TestCallersOfOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 3000
		ctx, cancel := context.WithCancel(t.Context())
		a := &answering{hold: make(chan struct{})}
		p := openAnswering(ctx, Limits{}, Bounds{MessageBytes: 1 << 10}, a)
		defer p.close()
		defer cancel()
		conn := p.connect(t)
		defer conn.Close()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				resp := new(healthpb.HealthCheckRequest)
				if err := conn.Invoke(ctx, answerMethod, &healthpb.HealthCheckRequest{Service: "a"}, resp); err != nil || resp.Service != "a" {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
		synctest.Wait()
		if n := a.running.Load(); n != callers {
			t.Errorf("%d calls are in progress, of %d", n, callers)
		}
		if n, want := p.streams.Count(), (Bound{callers, 0}); n != want {
			t.Errorf("%v is counted, want %v", n, want)
		}
		close(a.hold)
		all.Wait()
		synctest.Wait()
		if n, r := p.streams.Count(), p.requests.Count(); n != (Bound{}) || r != (Bound{}) {
			t.Errorf("%v, %v is counted in the end", n, r)
		}
	})
}

// Calls that are expected to return much wait for each other, and those that wait too long are
// refused.
func TestCallsWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, room = 100, 20
		ctx, cancel := context.WithCancel(t.Context())
		a := &answering{hold: make(chan struct{})}
		expect := func(proto.Message) int64 { return MaxClientBytes / room }
		p := openAnswering(ctx, Limits{}, Bounds{MessageBytes: 1 << 10, Expect: expect}, a)
		defer p.close()
		defer cancel()
		conn := p.connect(t)
		defer conn.Close()
		call := func() (ok, refused *atomic.Int64, wait func()) {
			ok, refused = new(atomic.Int64), new(atomic.Int64)
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					switch err := conn.Invoke(ctx, answerMethod, &healthpb.HealthCheckRequest{}, new(healthpb.HealthCheckRequest)); {
					case err == nil:
						ok.Add(1)
					case status.Code(err) == codes.ResourceExhausted:
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			return ok, refused, all.Wait
		}
		_, refused, wait := call()
		time.Sleep(roomWait + time.Second)
		synctest.Wait()
		if n := refused.Load(); n < callers-room {
			t.Errorf("%d of %d calls were refused while there was no room", n, callers)
		}
		close(a.hold)
		wait()
		ok, _, wait := call()
		wait()
		if n := ok.Load(); n != callers {
			t.Errorf("%d of %d calls got their turn", n, callers)
		}
		if n := a.most.Load(); n >= room || n < room/2 {
			t.Errorf("%d calls were in progress at once, there is room for %d", n, room)
		}
	})
}

func TestLargeRequestsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := &answering{hold: make(chan struct{})}
		close(a.hold)
		p := openAnswering(ctx, Limits{}, Bounds{MessageBytes: 1000}, a)
		defer p.close()
		defer cancel()
		conn := p.connect(t)
		defer conn.Close()
		for size, want := range map[int]string{
			900:  "",
			1100: "grpc: received message larger than max (1103 vs. 1000)",
		} {
			req := &healthpb.HealthCheckRequest{Service: strings.Repeat("a", size)}
			err := conn.Invoke(ctx, answerMethod, req, new(healthpb.HealthCheckRequest))
			if want == "" && err != nil || want != "" && (status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != want) {
				t.Errorf("a message of %d bytes: %v", size, err)
			}
		}
	})
}

// A client asks for large responses and takes none: its window is closed. What gRPC keeps for it
// counts, so that there is an end.
func TestUnreadResponsesCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, calls = 1 << 20, 100
		ctx, cancel := context.WithCancel(t.Context())
		a := &answering{hold: make(chan struct{})}
		close(a.hold)
		p := openAnswering(ctx, Limits{Stall: time.Hour}, Bounds{MessageBytes: 2 * size}, a)
		defer p.close()
		defer cancel()
		conn := p.dial(t)
		conn.Write([]byte(http2.ClientPreface))
		fr := http2.NewFramer(conn, nil)
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		go io.Copy(io.Discard, conn)
		req, err := proto.Marshal(&healthpb.HealthCheckRequest{Service: strings.Repeat("a", size)})
		if err != nil {
			t.Fatal(err)
		}
		message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(req))), req...)
		for s := uint32(1); s < 2*calls && err == nil; s += 2 {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: headersOf(answerMethod), EndHeaders: true})
			for rest := message; len(rest) > 0 && err == nil; {
				n := min(len(rest), 16<<10)
				err = fr.WriteData(s, n == len(rest), rest[:n])
				rest = rest[n:]
				time.Sleep(time.Millisecond) // the window is opened
			}
		}
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Fatal(err)
		}
		synctest.Wait()
		if b := p.requests.Count().Bytes; b < MaxClientBytes-2*size || b > MaxClientBytes+2*size {
			t.Errorf("%d bytes are counted, of at most %d", b, MaxClientBytes)
		}
		conn.Close()
		time.Sleep(2 * roomWait)
		synctest.Wait()
		if n := p.requests.Count(); n != (Bound{}) {
			t.Errorf("%v is counted in the end", n)
		}
	})
}

// sized is a response that is encoded already.
type sized struct{ *healthpb.HealthCheckRequest }

func (sized) Size() int { return 7 }

func TestResponsesCountForTheirSize(t *testing.T) {
	m := &healthpb.HealthCheckRequest{Service: "abc"}
	for resp, want := range map[any]int{m: proto.Size(m), sized{m}: 7, nil: 0} {
		if got := sizeOf(resp); got != want {
			t.Errorf("%T counts for %d bytes, not for %d", resp, got, want)
		}
	}
}

// Calls that wait for room are in memory. A client with too many of them is told at once.
func TestCallsThatWaitForRoomAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, size = 100, 256 << 10
		ctx, cancel := context.WithCancel(t.Context())
		a := &answering{hold: make(chan struct{})}
		expect := func(proto.Message) int64 { return MaxClientBytes / 4 }
		p := openAnswering(ctx, Limits{}, Bounds{MessageBytes: 1 << 20, Expect: expect}, a)
		defer p.close()
		defer cancel()
		conn := p.connect(t)
		defer conn.Close()
		began := time.Now()
		var all sync.WaitGroup
		var atOnce, late atomic.Int64
		for range calls {
			all.Go(func() {
				req := &healthpb.HealthCheckRequest{Service: strings.Repeat("k", size)}
				switch err := conn.Invoke(ctx, answerMethod, req, new(healthpb.HealthCheckRequest)); {
				case err == nil:
				case status.Code(err) != codes.ResourceExhausted:
					t.Error(err)
				case time.Since(began) < roomWait:
					atOnce.Add(1)
				default:
					late.Add(1)
				}
			})
		}
		synctest.Wait()
		most := p.limits.UnfinishedBytes / 4
		if n := p.waiting.Load(); n > most || n < most/2 {
			t.Errorf("%d bytes wait, at most %d may", n, most)
		}
		running, waiting := a.running.Load(), p.waiting.Load()/size
		if n := atOnce.Load(); n == 0 || n+running+waiting < calls-1 || n+running+waiting > calls+1 {
			t.Errorf("%d calls are refused at once, %d run and %d wait, of %d", n, running, waiting, calls)
		}
		time.Sleep(2 * roomWait)
		synctest.Wait()
		if n := late.Load(); n < waiting-1 || n > waiting+1 {
			t.Errorf("%d calls of %d that waited are refused", n, waiting)
		}
		close(a.hold)
		all.Wait()
		if n := p.waiting.Load(); n != 0 {
			t.Errorf("%d bytes wait in the end", n)
		}
	})
}
