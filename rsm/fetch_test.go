package rsm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// fetchingCounter is a durableCounter whose stream names the member that sends it and the
// index of its state. Whoever receives it fetches the state.
type fetchingCounter struct {
	durableCounter
	id      raft.NodeID
	fetcher rsm.Fetcher
	offered map[raft.Index]durableState
	// first is how long it takes to fetch the state for a member that has none. One that has an
	// older state fetches what it lacks, in perEntry for each entry.
	first, perEntry time.Duration
	received        int
}

var _ rsm.FetchingMachine = (*fetchingCounter)(nil)

func (m *fetchingCounter) UseFetcher(f rsm.Fetcher) { m.fetcher = f }

func (m *fetchingCounter) OpenState() (rsm.StateStream, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	s := m.disk.state
	m.offered[s.position.Index] = s
	manifest := fmt.Sprint(uint64(m.id), " ", s.position.Index)
	return rsm.StateStream{Position: s.position, Data: io.NopCloser(strings.NewReader(manifest))}, nil
}

func (m *fetchingCounter) ReceiveState(ctx context.Context, position raft.SnapshotMeta, _ rsm.StreamID, _ int64, data io.Reader) error {
	var from uint64
	var index raft.Index
	if _, err := fmt.Fscan(data, &from, &index); err != nil {
		return err
	}
	name := fmt.Sprint(index, " ", max(m.disk.index(), m.disk.received.position.Index))
	file, err := m.fetcher.Fetch(ctx, raft.NodeID(from), []byte(name), 0)
	if err != nil {
		return err
	}
	defer file.Close()
	b, err := io.ReadAll(file)
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err == nil {
		m.received++
		m.disk.received, m.disk.whole = durableState{position, 0, b}, true
	}
	return err
}

func (m *fetchingCounter) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	var index, have raft.Index
	if _, err := fmt.Sscan(string(name), &index, &have); err != nil {
		return nil, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	s, ok := m.offered[index]
	if !ok {
		return nil, fs.ErrNotExist
	}
	takes := m.first
	if have > 0 {
		takes = time.Duration(index-have) * m.perEntry
	}
	return io.NopCloser(io.MultiReader(waitingReader(takes), bytes.NewReader(s.data[offset:]))), nil
}

// waitingReader is an empty reader that takes its time.
type waitingReader time.Duration

func (w waitingReader) Read([]byte) (int, error) {
	time.Sleep(time.Duration(w))
	return 0, io.EOF
}

// A follower fetches a state for minutes, under load, while its leader waits. Its log is gone by
// then, so that further states follow, each smaller than the one before, until the log
// suffices.
func TestStateThatIsFetchedForMinutesArrives(t *testing.T) {
	machines := map[raft.NodeID]*fetchingCounter{}
	runDurable(t, 3, func(t *testing.T, c *cluster, disks map[raft.NodeID]*counterDisk) {
		c.settings = func(cfg *rsm.Config[int64, int64]) {
			m := &fetchingCounter{durableCounter: durableCounter{disk: disks[cfg.ID]}, id: cfg.ID, offered: map[raft.Index]durableState{}}
			m.first, m.perEntry = 5*time.Minute, 10*time.Millisecond
			cfg.Durable, cfg.Machine, cfg.Snapshots = m, nil, nil
			machines[cfg.ID] = m
		}
		c.restartAll()
		leader, f := c.leaveBehind()
		c.start(f)
		term := c.nodes[leader].Status().Term
		began := time.Now()
		behind := func() raft.Index { return c.nodes[leader].Status().Applied - c.nodes[f].Status().Applied }
		for behind() > 20 {
			if time.Since(began) > 6*time.Minute {
				t.Fatalf("after %v it is %d entries behind", time.Since(began), behind())
			}
			time.Sleep(100 * time.Millisecond)
			c.incAt(leader)
		}
		if n := machines[f].received; n < 2 || n > 6 {
			t.Errorf("it has got %d states", n)
		}
		if s := c.nodes[leader].Status(); s.Role != raft.Leader || s.Term != term {
			t.Errorf("the leader of term %d is %s of term %d", term, s.Role, s.Term)
		}
	})
}

// A node answers fetches by its machine, where that has files.
func TestNodeOpensFilesOfItsMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := rsm.NewMemoryStorage(raft.NewConfiguration(1))
		cfg := rsm.Config[int64, int64]{ID: 1, Codec: codec{}, Log: disk, Transport: noTransport{}}
		cfg.Durable = &fetchingCounter{durableCounter: durableCounter{disk: &counterDisk{}}}
		n, err := rsm.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Stop()
		if _, err := n.OpenFile([]byte("1 0"), 0); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a machine with files: %v", err)
		}
		cfg.Durable = &durableCounter{disk: &counterDisk{}}
		without, err := rsm.Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer without.Stop()
		if _, err := without.OpenFile([]byte("1 0"), 0); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a machine without files: %v", err)
		}
	})
}

// noTransport is a Transport that is no Fetcher.
type noTransport struct{}

func (noTransport) Send([]raft.Message) {}

func (noTransport) SendSnapshot(context.Context, *raft.InstallSnapshot, io.Reader) error {
	return errors.New("no transport")
}
