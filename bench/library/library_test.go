package library

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"
)

func TestCommandsComeBack(t *testing.T) {
	for _, value := range [][]byte{nil, []byte("v"), bytes.Repeat([]byte("x"), 300)} {
		for _, key := range []string{"", "k", string(bytes.Repeat([]byte("k"), 200))} {
			gotKey, gotValue, err := decode(command(key, value))
			if err != nil || gotKey != key || !bytes.Equal(gotValue, value) {
				t.Errorf("%q = %q came back as %q = %q, %v", key, value, gotKey, gotValue, err)
			}
		}
	}
	for _, bad := range [][]byte{nil, {5, 'k'}, {0x80}} {
		if _, _, err := decode(bad); err == nil {
			t.Errorf("%x is understood", bad)
		}
	}
}

// TestLibraries runs each library, and sees that puts reach the tables of all replicas
// and that the calls are what they claim to be.
func TestLibraries(t *testing.T) {
	for name, start := range map[string]func(string, io.Writer) (*Cluster, error){
		"balsa": Balsa, "hashicorp": Hashicorp, "dragonboat": Dragonboat,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := start(t.TempDir(), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var callers sync.WaitGroup
			for i := range 20 {
				callers.Go(func() {
					key := fmt.Sprint("key", i)
					if err := c.Put(ctx, key, []byte(key)); err != nil {
						t.Errorf("put %s: %v", key, err)
					}
					if err := c.Get(ctx, key); err != nil {
						t.Errorf("get %s: %v", key, err)
					}
				})
			}
			callers.Wait()
			for i, r := range c.replicas {
				awaitKeys(t, i, r)
			}
		})
	}
}

// valueAt is what a replica's table holds.
func valueAt(r replica, key string) []byte {
	switch r := r.(type) {
	case *balsaReplica:
		return r.table.get(key)
	case *hashicorpReplica:
		return r.table.get(key)
	case *dragonboatReplica:
		if v, err := r.host.StaleRead(shard, key); err == nil {
			return v.([]byte)
		}
	}
	return nil
}

// awaitKeys waits until a replica has what was put.
func awaitKeys(t *testing.T, member int, r replica) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		missing := 0
		for i := range 20 {
			if key := fmt.Sprint("key", i); string(valueAt(r, key)) != key {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("replica %d misses %d keys", member, missing)
			return
		}
	}
}
