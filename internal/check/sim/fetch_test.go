package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

// shelf is a machine with files.
type shelf struct {
	machine
	files map[string][]byte
}

func (s shelf) OpenFile(name []byte, offset int64) (io.ReadCloser, error) {
	switch data, ok := s.files[string(name)]; {
	case !ok:
		return nil, fs.ErrNotExist
	case string(name) == "unreadable":
		return io.NopCloser(io.MultiReader(bytes.NewReader(data[:3]), iotest.ErrReader(fs.ErrNotExist))), nil
	default:
		return io.NopCloser(bytes.NewReader(data[offset:])), nil
	}
}

// withShelf is a world of three nodes that run, of which the second one has files.
func withShelf(mix func(*Mix)) *world {
	w := newWorld(Options{Seed: 1, Faults: []Fault{}, Edit: func(m *Mix) {
		m.Voters, m.Learners = 3, 0
		if mix != nil {
			mix(m)
		}
	}})
	for _, n := range w.nodes {
		n.start()
	}
	w.node(2).machine = shelf{w.node(2).machine, map[string][]byte{"run": []byte("0123456789"), "unreadable": []byte("0123")}}
	return w
}

// fetched fetches a file by node 1, whole.
func (w *world) fetched(name string, offset int64) (string, error) {
	file, err := fetcher{w.node(1)}.Fetch(context.Background(), 2, []byte(name), offset)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(file)
	return string(b), err
}

func TestFetchWithoutFaults(t *testing.T) {
	w := withShelf(nil)
	w.healed = true
	for range 100 {
		if got, err := w.fetched("run", 3); got != "3456789" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if _, err := w.fetched("nothing", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if got, err := w.fetched("unreadable", 0); got != "012" || err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that cannot be read: %q, %v", got, err)
	}
	for _, from := range w.nodes {
		if _, err := w.net.fetch(1, from.id, []byte("run"), 0); (err == nil) != (from.id == 2) {
			t.Errorf("from %s: %v", from.id, err)
		}
	}
	if _, err := w.net.fetch(1, 9, []byte("run"), 0); err == nil {
		t.Error("from a node that does not exist")
	}
}

func TestFetchBreaksOff(t *testing.T) {
	w := withShelf(nil)
	whole, part := 0, 0
	for range 1000 {
		switch got, err := w.fetched("run", 0); {
		case got == "0123456789" && err == nil:
			whole++
		case err == nil || !strings.HasPrefix("0123456789", got):
			t.Fatalf("%q, %v", got, err)
		default:
			part++
		}
	}
	if part < 50 || part > 200 || w.check.counts.Fetched != 1000 || w.check.counts.FetchedInPart != part {
		t.Errorf("%d arrived, %d broke off; counted are %d, and %d that broke off", whole, part, w.check.counts.Fetched, w.check.counts.FetchedInPart)
	}
}

func TestFetchNeedsBothNodesAndBothLinks(t *testing.T) {
	for name, tc := range map[string]struct {
		mix   func(*Mix)
		fault func(w *world)
	}{
		"node is down":      {nil, func(w *world) { w.node(2).crash(false) }},
		"node is paused":    {nil, func(w *world) { w.node(2).pause() }},
		"the way there":     {nil, func(w *world) { w.net.cut[1][2]++ }},
		"the way back":      {nil, func(w *world) { w.net.cut[2][1]++ }},
		"its disk hangs":    {func(m *Mix) { m.StateDisk = false }, func(w *world) { w.node(2).hungUntil = w.now + 1 }},
		"messages are lost": {nil, func(w *world) { w.mix.Loss = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			w := withShelf(tc.mix)
			tc.fault(w)
			if got, err := w.fetched("run", 0); err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
