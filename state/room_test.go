package state_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/state"
	"balsa.example/vfs"
)

const (
	roomKeys = 2000
	// roomFits is enough for two indexes of so many keys, and roomFitsNot for one.
	roomFits, roomFitsNot = 16 << 20, 400 << 10
)

// roomy is a leader, and a follower with a bound on its index.
type roomy struct {
	t                *testing.T
	leader, follower *state.Machine
	index            raft.Index
	fs               *crashfs.Mem // the follower's
	// loads is called when the follower opens a run, as it does when it loads a state; err is why it cannot.
	loads func()
	err   error
	works []state.Work // of the follower, that go on
}

func newRoomy(t *testing.T, most int64) *roomy {
	r := &roomy{t: t, loads: func() {}, fs: crashfs.NewMem()}
	r.leader, _ = openMachine(t, crashfs.NewMem())
	r.follower = state.New(state.Config{
		FS: opened{r.fs, r}, Dir: "state", Cluster: 7, ID: 2, RunBytes: 8 << 10, CacheBytes: -1, MaxIndexBytes: most,
		Publisher: &installing{func(uint64) {}},
		OnWork: func(w state.Work) func(error) {
			r.works = append(r.works, w)
			return func(error) { r.works = r.works[:len(r.works)-1] }
		},
	})
	if _, _, err := r.follower.Open(); err != nil {
		t.Fatal(err)
	}
	r.follower.UseFetcher(from{r.leader})
	return r
}

// opened tells when a run is opened.
type opened struct {
	vfs.FS
	r *roomy
}

func (o opened) Open(name string) (vfs.File, error) {
	if strings.Contains(name, "run-") {
		if o.r.loads(); o.r.err != nil {
			return nil, o.r.err
		}
	}
	return o.FS.Open(name)
}

// receive lets the follower have the state in which each key has been put once more.
func (r *roomy) receive() raft.SnapshotMeta {
	for i := range roomKeys {
		r.leader.DoOp(set(keyOf(i), valueOf(i)))
		r.index++
	}
	if err := checkpoint(r.leader, r.index); err != nil {
		r.t.Fatal(err)
	}
	return sendState(r.t, r.leader, r.follower)
}

func (r *roomy) install(position raft.SnapshotMeta) {
	if _, err := r.follower.InstallState(position); err != nil {
		r.t.Fatal(err)
	}
}

// reads reads in all ways, and returns the errors.
func (r *roomy) reads() (errs []error) {
	m, key := r.follower, keyOf(7)
	got := m.Get(key)
	errs = append(errs, got.Err())
	m.TryGets([]string{key}, func(_ int, tried kv.Result, ok bool) {
		if ok && tried.Err() != got.Err() {
			r.t.Errorf("tried to get %v, %v by itself", tried.Err(), got.Err())
		}
	})
	all, err := m.Range(kv.RangeOp{})
	if err == nil && len(all.Entries) != roomKeys {
		r.t.Errorf("range has %d keys", len(all.Entries))
	}
	errs = append(errs, err)
	n := 0
	_, _, err = m.EncodeRange(kv.RangeOp{}, nil, func(b []byte, _ *kv.Entry) []byte { n++; return b })
	if err == nil && n != roomKeys {
		r.t.Errorf("encoded range has %d keys", n)
	}
	errs = append(errs, err)
	txn, err := m.ReadTxn(&kv.Txn{If: []kv.Compare{{Span: kv.Single(key), Target: kv.TargetVersion, Relation: kv.Greater}}}, 1<<20)
	if err == nil && !txn.Succeeded {
		r.t.Error("a transaction has not found the key")
	}
	errs = append(errs, err)
	before, err := m.Previous(key, m.Revision())
	if err == nil && before == nil {
		r.t.Error("the key held nothing before")
	}
	return append(errs, err)
}

// serves wants that all reads are answered.
func (r *roomy) serves(when string) {
	r.t.Helper()
	if err := errors.Join(r.reads()...); err != nil {
		r.t.Errorf("%s: %v", when, err)
	}
}

// history wants that what needs no index is there.
func (r *roomy) history() {
	next := uint64(2)
	err := r.follower.Scan(next, func(revision uint64, events []kv.Event) bool {
		if revision != next || len(events) != 1 {
			r.t.Fatalf("%d events of revision %d, want %d", len(events), revision, next)
		}
		next++
		return true
	})
	if revision := r.follower.Revision(); err != nil || next != revision+1 {
		r.t.Errorf("the history of revision %d ends at %d: %v", revision, next-1, err)
	}
}

// Both states have their index in memory where there is room, and reads are served all the time.
func TestTwoIndexesThatFit(t *testing.T) {
	r := newRoomy(t, roomFits)
	r.install(r.receive())
	hash, position, loads := r.follower.Hash(), r.receive(), 0
	size := r.follower.Figures().IndexBytes
	r.loads = func() {
		if loads++; r.follower.Hash() != hash || r.follower.Figures().IndexBytes != size {
			t.Errorf("the index has %d bytes while the next one is loaded, before %d", r.follower.Figures().IndexBytes, size)
		}
		r.loads = func() {} // reads open files too
		r.serves("while a state is loaded")
	}
	if r.install(position); loads == 0 {
		t.Error("nothing was loaded")
	}
	r.serves("afterwards")
	r.history()
}

// Where two indexes do not fit the old one goes first. Until the next one is there a key is not missing: it cannot be read.
func TestAnIndexThatDoesNotFit(t *testing.T) {
	r := newRoomy(t, roomFitsNot)
	r.install(r.receive())
	size := r.follower.Figures().IndexBytes
	if size < roomFitsNot/8 || size > roomFitsNot {
		t.Fatalf("the index has %d bytes, and may have %d", size, roomFitsNot)
	}
	r.serves("before")
	hash, position, loads := r.follower.Hash(), r.receive(), 0
	r.serves("while a state waits to be installed")
	r.loads = func() {
		f := r.follower.Figures()
		if loads++; f.IndexBytes > size/8 || f.Keys != roomKeys || r.follower.Hash() != hash {
			t.Errorf("the index has %d bytes of %d while the next one is loaded", f.IndexBytes, size)
		}
		r.loads = func() {}
		if !slices.Equal(r.works, []state.Work{state.WorkInstall}) {
			t.Errorf("it does %v while a state is loaded", r.works)
		}
		for i, err := range r.reads() {
			if !errors.Is(err, kv.ErrUnreadable) {
				t.Errorf("read %d while a state is loaded: %v", i, err)
			}
		}
		txn := kv.Txn{Then: []kv.TxnOp{{Delete: &kv.DeleteOp{Span: kv.Prefix("key")}}}}
		if err := r.follower.Refuse(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &txn}}); !errors.Is(err, rsm.ErrBusy) {
			t.Errorf("a transaction whose looks cannot be counted: %v", err)
		}
		r.history()
	}
	if r.install(position); loads == 0 {
		t.Error("nothing was loaded")
	}
	if r.follower.Hash() != r.leader.Hash() || r.follower.Figures().IndexBytes < size {
		t.Error("not the state of the leader")
	}
	r.serves("afterwards")
	r.history()
}

// A follower whose index is small, as of one that is new, goes on to be read.
func TestASmallIndexStays(t *testing.T) {
	r := newRoomy(t, 1<<20)
	r.follower.DoOp(set("own", "value"))
	position := r.receive()
	r.loads = func() {
		if got := r.follower.Get("own"); got.Code != kv.CodeOK {
			t.Errorf("while a state is loaded: %v", got.Err())
		}
	}
	r.install(position)
	r.loads = func() {}
	r.serves("afterwards")
}

// A state that cannot be loaded after the old index is gone ends the replica. Until then nothing is answered from no index, nor
// are files written anew by it, and the next process has the state that was received.
func TestALoadThatFailsWithoutTheOldIndex(t *testing.T) {
	r := newRoomy(t, roomFitsNot)
	r.install(r.receive())
	position := r.receive()
	r.err = syscall.EIO
	if _, err := r.follower.InstallState(position); !errors.Is(err, syscall.EIO) {
		t.Fatalf("installed: %v", err)
	}
	r.err = nil
	for i, err := range r.reads() {
		if !errors.Is(err, kv.ErrUnreadable) {
			t.Errorf("read %d: %v", i, err)
		}
	}
	if more, err := r.follower.Maintain(); more || err != nil {
		t.Errorf("maintained, more %t: %v", more, err)
	}
	if s, err := r.follower.Scrub(); s.Path != "" || err != nil {
		t.Errorf("scrubbed %v: %v", s, err)
	}
	if err := checkpoint(r.follower, position.Index-1); err == nil {
		t.Error("a checkpoint has taken the place of the state that was received")
	}
	opened, at := openMachine(t, r.fs)
	if r.follower = opened; at.Index != position.Index || opened.Hash() != r.leader.Hash() {
		t.Errorf("opened at %s, received at %s", at, position)
	}
	r.serves("after the next start")
	r.history()
}

// Readers get the state as it is, or an error, and never miss a key, while the index is freed again and again.
func TestReadersOutliveAnIndex(t *testing.T) {
	r := newRoomy(t, roomFitsNot)
	r.install(r.receive())
	var done sync.WaitGroup
	stop := make(chan struct{})
	read := func(read func(i int) error) {
		readAgain(t, &done, stop, func(i int) error {
			if err := read(i); !errors.Is(err, kv.ErrUnreadable) {
				return err
			}
			return nil
		})
	}
	m := r.follower
	read(func(i int) error { return m.Get(keyOf(i % roomKeys)).Err() })
	read(func(i int) (err error) {
		m.TryGets([]string{keyOf(i % roomKeys), keyOf((i + 1) % roomKeys)}, func(_ int, got kv.Result, ok bool) {
			if ok && got.Code != kv.CodeOK {
				err = got.Err()
			}
		})
		return err
	})
	read(func(int) error {
		all, err := m.Range(kv.RangeOp{KeysOnly: true})
		if err == nil && len(all.Entries) != roomKeys {
			return fmt.Errorf("range has %d keys", len(all.Entries))
		}
		return err
	})
	for range 20 {
		r.install(r.receive())
	}
	close(stop)
	done.Wait()
	r.serves("in the end")
}
