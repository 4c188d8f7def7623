package native

import (
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/kv"
)

// One message can hold a million requests of a few bytes: what waits for a client that
// does not read must not grow by all of them.
func TestClientStreamStopsInTheMidstOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := nodetest.New()
		c := openStream(t, &h)
		const n = 8 * maxUnsentReplies
		c.ask(make([]uint64, n)...)
		synctest.Wait()
		c.stream.mu.Lock()
		unsent := len(c.stream.unsent)
		c.stream.mu.Unlock()
		if unsent > 2*maxUnsentReplies {
			t.Errorf("%d replies wait for a client that does not read", unsent)
		}
		c.read(n)
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

// Values that were read count until the client has taken them.
func TestClientStreamBoundsTheBytesOfReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Do(kv.Op{Kind: kv.Put, Key: "k", Value: make([]byte, 1<<20), Unconditional: true})
		c := openStream(t, &h)
		const n = 2 * clients.MaxClientBytes >> 20
		batch := &api.RequestBatch{}
		for id := range uint64(n) {
			batch.Requests = append(batch.Requests, &api.Request{Id: id, Kind: api.Request_GET, Key: []byte("k")})
		}
		c.requests <- batch
		synctest.Wait()
		if b := c.stream.account.Client.Count().Bytes; b > clients.MaxClientBytes || b < clients.MaxClientBytes/2 {
			t.Errorf("%d bytes are counted for a client that does not read", b)
		}
		got := map[api.Reply_Code]int{}
		for got[api.Reply_OK]+got[api.Reply_BUSY] < n {
			for _, r := range (<-c.replies).Replies {
				got[r.Code]++
			}
		}
		if got[api.Reply_OK] < n/4 || got[api.Reply_BUSY] < n/4 {
			t.Errorf("the reads got %v", got)
		}
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		if n := cap(c.stream.gets); n < maxGets || n >= 2*maxGets {
			t.Errorf("there is room for %d GETs, want about %d", n, maxGets)
		}
		c.idle(t)
	})
}

// Replies to requests that were not even counted do not pile up for a client that does not
// read, and while it is waited for it counts.
func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		c := openStream(t, &h)
		c.stream.account.Client.Max.Items = 1
		const n = 8 * maxUnsentReplies
		c.ask(make([]uint64, n)...)
		synctest.Wait()
		c.stream.mu.Lock()
		unsent := len(c.stream.unsent)
		c.stream.mu.Unlock()
		if unsent > maxUnsentReplies {
			t.Errorf("%d refusals wait for a client that does not read", unsent)
		}
		if b := c.stream.account.Client.Count().Bytes; b < clients.StreamWindow {
			t.Errorf("%d bytes are counted for a stream that waits", b)
		}
		c.read(n - 1)
		go node.Release()
		c.read(1)
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

// When there is no room to count a stream that waits for its client, it waits for a
// moment only.
func TestStreamThatCannotBeCountedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Hold = true
		c := openStream(t, &h)
		c.ask(1, 2)
		synctest.Wait()
		c.stream.account.Server.Max.Bytes = 1
		c.ask(3)
		synctest.Wait() // its refusal is being sent, and is not read
		c.ask(make([]uint64, 8*maxUnsentReplies)...)
		time.Sleep(uncountedWait + time.Second)
		synctest.Wait()
		c.stream.mu.Lock()
		ended := c.stream.ended
		c.stream.mu.Unlock()
		if ended != errStreamBusy {
			t.Errorf("the stream takes more requests, or ended with %v", ended)
		}
		go node.Release()
		for err := error(nil); err == nil; {
			select {
			case <-c.replies:
			case err = <-c.ended:
				if err != errStreamBusy {
					t.Errorf("the stream ended with %v", err)
				}
			}
		}
		c.idle(t)
	})
}
