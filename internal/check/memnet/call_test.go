package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"balsa.example/raft"
)

func TestCallTakesOneRoundTrip(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		if took, err := c.call("a", 1); err != nil || took != 2*DefaultLatency {
			t.Errorf("took %v, %v", took, err)
		}
		refusal := errors.New("no")
		_, err := Call(t.Context(), c.Network, "a", 1, func(context.Context) (int, error) { return 0, refusal })
		if err != refusal {
			t.Errorf("the handler's error came back as %v", err)
		}
	})
}

func TestUnreliableCallsAreLostBothWays(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		c.Reliable(false)
		var handled, lost, lostHandled int
		for range 10_000 {
			before := handled
			start := time.Now()
			_, err := Call(t.Context(), c.Network, "a", 1, func(context.Context) (int, error) { handled++; return 0, nil })
			if time.Since(start) > 200*time.Millisecond {
				t.Fatalf("took %v", time.Since(start))
			}
			if errors.Is(err, ErrLost) {
				lost++
				lostHandled += handled - before
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if lost < 1700 || lost > 2100 || lostHandled < 800 || lostHandled > 1000 {
			t.Errorf("%d calls lost, %d of them handled", lost, lostHandled)
		}
	})
}

func TestUnreachableServerKeepsCallersWaiting(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		c.nodes[1].Stop()
		c.Disconnect(2)
		c.ConnectClient("a", 1, 2)
		for _, long := range []bool{false, true} {
			c.LongDelays(long)
			var longest time.Duration
			for i := range 300 {
				took, err := c.call("a", raft.NodeID(i%3+1))
				if !errors.Is(err, ErrUnreachable) {
					t.Fatal(err)
				}
				longest = max(longest, took)
			}
			if long != (longest > giveUpMax) || longest > giveUpLongMax {
				t.Errorf("long delays %t: up to %v", long, longest)
			}
		}
		if _, err := c.call("b", 3); err != nil {
			t.Errorf("another client is hurt too: %v", err)
		}
	})
}

func TestCallIsLostWhenItsServerGoesAway(t *testing.T) {
	away := map[string]func(*cluster){
		"stopped":      func(c *cluster) { c.nodes[1].Stop() },
		"disconnected": func(c *cluster) { c.Disconnect(1) },
		"restarted": func(c *cluster) {
			c.nodes[1].Stop()
			c.Node(1).Start(c.boxes[1])
		},
	}
	moments := map[string]time.Duration{
		"on the way there": DefaultLatency / 2,
		"during the call":  10 * time.Millisecond,
		"on the way back":  DefaultLatency + 20*time.Millisecond + DefaultLatency/2,
	}
	for what, happen := range away {
		for when, at := range moments {
			if what != "disconnected" && when == "on the way back" || what == "restarted" && when == "on the way there" {
				continue // what has left a server outlives it; what is on its way reaches the next
			}
			t.Run(what+" "+when, func(t *testing.T) {
				run(t, func(t *testing.T, c *cluster) {
					time.AfterFunc(at, func() { happen(c) })
					_, err := Call(t.Context(), c.Network, "a", 1, func(context.Context) (int, error) {
						time.Sleep(20 * time.Millisecond)
						return 0, nil
					})
					if !errors.Is(err, ErrLost) {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var ended atomic.Bool
		start := time.Now()
		_, err := Call(ctx, c.Network, "a", 1, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			ended.Store(true)
			return 0, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		synctest.Wait()
		if !ended.Load() {
			t.Error("the handler goes on")
		}
	})
}

var offer = &raft.InstallSnapshot{Header: raft.Header{From: 1, To: 2, Term: 1}, Meta: raft.SnapshotMeta{Index: 7}}

func TestSnapshotArrives(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		image := bytes.Repeat([]byte("balsa"), 10_000)
		c.boxes[2].snapshot = func(m *raft.InstallSnapshot, data io.Reader) error {
			if m.Meta.Index != 7 {
				t.Errorf("got %v", m)
			}
			return iotest.TestReader(data, image)
		}
		start := time.Now()
		if err := c.nodes[1].SendSnapshot(t.Context(), offer, bytes.NewReader(image)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 2*DefaultLatency {
			t.Errorf("took %v", took)
		}
		if got := c.Counts(); got.Bytes != uint64(len(image)) || got.Requests != 1 {
			t.Errorf("counted %+v", got)
		}
	})
}

func TestSnapshotRefusalIsTold(t *testing.T) {
	run(t, func(t *testing.T, c *cluster) {
		refusal := errors.New("disk full")
		c.boxes[2].snapshot = func(*raft.InstallSnapshot, io.Reader) error { return refusal }
		err := c.nodes[1].SendSnapshot(t.Context(), offer, bytes.NewReader(nil))
		if err == nil || errors.Is(err, ErrLost) || errors.Is(err, refusal) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSnapshotBreaksOff(t *testing.T) {
	cuts := map[string]struct {
		cut  func(*cluster, context.CancelFunc)
		want error
	}{
		"context ends":     {func(_ *cluster, cancel context.CancelFunc) { cancel() }, context.Canceled},
		"sender stops":     {func(c *cluster, _ context.CancelFunc) { c.nodes[1].Stop() }, context.Canceled},
		"receiver stops":   {func(c *cluster, _ context.CancelFunc) { c.nodes[2].Stop() }, ErrLost},
		"partition begins": {func(c *cluster, _ context.CancelFunc) { c.Partition([]raft.NodeID{1}) }, ErrLost},
	}
	for what, tc := range cuts {
		t.Run(what, func(t *testing.T) {
			run(t, func(t *testing.T, c *cluster) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				received := make(chan error, 1)
				c.boxes[2].snapshot = func(_ *raft.InstallSnapshot, data io.Reader) error {
					for {
						if _, err := io.CopyN(io.Discard, data, 1); err != nil {
							received <- err
							return err
						}
						time.Sleep(time.Millisecond) // a slow disk
					}
				}
				time.AfterFunc(100*time.Millisecond, func() { tc.cut(c, cancel) })
				if err := c.nodes[1].SendSnapshot(ctx, offer, bytes.NewReader(make([]byte, 1<<20))); !errors.Is(err, tc.want) {
					t.Errorf("sender got %v", err)
				}
				if err := <-received; !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("receiver got %v", err)
				}
			})
		})
	}
}
