package native

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/native/nodetest"
	"balsa.example/internal/frontend/native/translate"
	"balsa.example/kv"
)

// rangesOf are requests for ranges with the ids from 1 on.
func rangesOf(n int) *api.RequestBatch {
	batch := new(api.RequestBatch)
	for id := range uint64(n) {
		req := rangeOf(&api.Range{Span: everything})
		req.Id = id + 1
		batch.Requests = append(batch.Requests, req)
	}
	return batch
}

// codes reads replies, and returns how many there are of each code, and their ids in order.
func (c *streamClient) codes(n int) (codes map[api.Reply_Code]int, ids []uint64) {
	codes = map[api.Reply_Code]int{}
	for len(ids) < n {
		for _, r := range (<-c.replies).Replies {
			codes[r.Code]++
			ids = append(ids, r.Id)
		}
	}
	return codes, ids
}

// More ranges than may be in progress are all read, in their order. Requests whose replies are small
// do not wait for them.
func TestRangesOverABoundAreReadInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		node.Do(kv.Op{Kind: kv.Put, Key: "k", Value: make([]byte, 1<<19), Unconditional: true})
		c := openStream(t, &h)
		const n = 5 * clients.MaxClientBytes / translate.MaxPageBytes
		c.requests <- rangesOf(n)
		synctest.Wait()
		if b := c.stream.account.Client.Count().Bytes; b > clients.MaxClientBytes {
			t.Errorf("%d bytes are counted", b)
		}
		codes, ids := c.codes(n)
		if codes[api.Reply_OK] != n || !slices.IsSorted(ids) {
			t.Errorf("replies %v, ids %v", codes, ids)
		}
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

// A stream that takes no room itself cannot wait for its own replies.
func TestRangesAreRefusedWhereOthersHaveTheRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		c := openStream(t, &h)
		const others = clients.MaxClientBytes - 100<<10
		if v := c.stream.account.Enter(others); v != clients.Allowed {
			t.Fatal(v)
		}
		c.requests <- rangesOf(2)
		if codes, _ := c.codes(2); codes[api.Reply_BUSY] != 2 {
			t.Errorf("replies %v", codes)
		}
		node.Hold = true
		c.ask(7)
		c.requests <- rangesOf(3)
		synctest.Wait()
		c.stream.mu.Lock()
		parked := len(c.stream.parked)
		c.stream.mu.Unlock()
		if parked != 3 {
			t.Errorf("%d of 3 ranges wait for the put", parked)
		}
		go node.Release()
		if codes, ids := c.codes(4); codes[api.Reply_OK] != 1 || codes[api.Reply_BUSY] != 3 || !slices.Equal(ids, []uint64{7, 1, 2, 3}) {
			t.Errorf("replies %v, ids %v", codes, ids)
		}
		c.stream.account.Leave(others)
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

func TestParkedRequestsEndWithTheirStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := nodetest.New()
		var waiting []func()
		h.Background = func(read func()) { waiting = append(waiting, read) }
		c := openStream(t, &h)
		c.requests <- rangesOf(2 * clients.MaxClientBytes / translate.MaxPageBytes)
		synctest.Wait()
		c.cancel()
		<-c.ended
		for _, read := range waiting {
			read()
		}
		c.idle(t)
	})
}

// What has waited for longer than its client waits makes room for what came later.
func TestParkedRequestsWhoseTimeIsUpAreNotStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := nodetest.New()
		var waiting []func()
		h.Background = func(read func()) { waiting = append(waiting, read) }
		c := openStream(t, &h)
		const n = clients.MaxClientBytes/translate.MaxPageBytes + 10
		first := rangesOf(n)
		for _, req := range first.Requests {
			req.TimeoutMs = 1000
		}
		c.requests <- first
		synctest.Wait()
		started := len(waiting)
		if started == 0 || started == n {
			t.Fatalf("%d of %d ranges are started", started, n)
		}
		time.Sleep(900 * time.Millisecond)
		patient := rangesOf(1)
		patient.Requests[0].Id, patient.Requests[0].TimeoutMs = n+1, 1000
		c.requests <- patient
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		all := make(chan struct{})
		go func() {
			defer close(all)
			codes, ids := c.codes(n + 1)
			if codes[api.Reply_OK] != started+1 || codes[api.Reply_BUSY] != n-started {
				t.Errorf("%d of %d were started, replies %v, ids %v", started, n, codes, ids)
			}
		}()
		for len(waiting) > 0 {
			read := waiting[0]
			waiting = waiting[1:]
			read()
			synctest.Wait()
		}
		<-all
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}

// Pages are read no further ahead of a client than maxAhead, and small ones do not wait for that.
func TestPagesAreReadLittleAheadOfTheirClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, node := nodetest.New()
		put := func(size int) {
			node.Do(kv.Op{Kind: kv.Put, Key: "k", Value: make([]byte, size), Unconditional: true})
		}
		c := openStream(t, &h)
		begun := func() (pages int) {
			synctest.Wait()
			c.stream.mu.Lock()
			defer c.stream.mu.Unlock()
			return c.stream.pages
		}
		for _, test := range []struct{ size, want int }{
			{1 << 20, 3}, {1 << 19, 7}, {1000, clients.MaxClientBytes/translate.MaxPageBytes - 1}, {1 << 20, 3},
		} {
			put(test.size)
			c.requests <- rangesOf(20) // the size of a page is known behind them
			c.read(20)
			var waiting []func()
			h.Background = func(read func()) { waiting = append(waiting, read) }
			left := 50
			c.requests <- rangesOf(left)
			if got := begun(); got != test.want {
				t.Errorf("%d pages of %d bytes are read ahead, want %d", got, test.size, test.want)
			}
			h.Background = func(read func()) { read() } // those that are parked
			txn := txnOf(&api.Txn{Then: []*api.TxnOp{rangeIn(&api.Range{Span: everything})}})
			c.requests <- &api.RequestBatch{Requests: []*api.Request{txn}}
			if test.want < 10 {
				c.read(1) // it waits for no page
			} else {
				left++ // it waits for room
			}
			for _, read := range waiting {
				read()
			}
			if got := begun(); got > test.want {
				t.Errorf("%d pages of %d bytes wait for a client that does not read", got, test.size)
			}
			c.read(left)
			if got := begun(); got != 0 {
				t.Errorf("%d pages count when they were read", got)
			}
		}
		if err := c.end(t); err != nil {
			t.Error(err)
		}
		c.idle(t)
	})
}
