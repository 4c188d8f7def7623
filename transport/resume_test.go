package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// keeper is a node that keeps what arrived of a stream that broke off.
type keeper struct {
	*node
	stream uint64
	kept   []byte
	calls  []string // of ReceiveSnapshot: where each began
	stored []byte
}

var _ rsm.ResumingReceiver = (*keeper)(nil)

func (k *keeper) SnapshotOffset(m *raft.InstallSnapshot) int64 {
	if m.Stream != k.stream {
		return 0
	}
	return int64(len(k.kept))
}

func (k *keeper) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	k.calls = append(k.calls, fmt.Sprint(m.Offset))
	if m.Offset == 0 {
		k.stream, k.kept = m.Stream, nil
	}
	if m.Stream != k.stream || m.Offset != uint64(len(k.kept)) {
		return errors.New("so much is not kept")
	}
	b, err := io.ReadAll(data)
	k.kept = append(k.kept, b...)
	if err == nil {
		k.stored = k.kept
	}
	return err
}

// withKeeper runs a test with a keeper whose stream 7 broke off after n bytes of image.
func withKeeper(t *testing.T, image []byte, n int, f func(t *testing.T, a *node, k *keeper)) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a := w.up(1)
		k := &keeper{node: w.listening(2)}
		k.Start(k)
		time.Sleep(time.Second)
		broken := errors.New("cut")
		if err := a.SendSnapshot(t.Context(), stream(7), io.MultiReader(bytes.NewReader(image[:n]), &trickle{0, broken})); !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		synctest.Wait()
		if k.stored != nil || len(k.kept) != n {
			t.Fatalf("%d bytes kept, %d stored", len(k.kept), len(k.stored))
		}
		k.calls = nil
		f(t, a, k)
	})
}

// stream is an offer whose bytes have a name.
func stream(id uint64) *raft.InstallSnapshot {
	m := *offer
	m.Stream = id
	return &m
}

func TestSnapshotGoesOnWhereItBrokeOff(t *testing.T) {
	image := bytes.Repeat([]byte("balsa"), chunkBytes)
	for _, n := range []int{1, chunkBytes, 2*chunkBytes + 17, len(image)} {
		withKeeper(t, image, n, func(t *testing.T, a *node, k *keeper) {
			before := a.status(2).BytesOut
			m := stream(7)
			if err := a.SendSnapshot(t.Context(), m, bytes.NewReader(image)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(k.calls, " "); got != fmt.Sprint(n) || !bytes.Equal(k.stored, image) || m.Offset != 0 {
				t.Errorf("after %d bytes: begun at %s; %d bytes stored", n, got, len(k.stored))
			}
			if sent := int(a.status(2).BytesOut - before); sent > len(image)-n+1000 {
				t.Errorf("%d bytes sent where %d are missing", sent, len(image)-n)
			}
		})
	}
}

func TestSnapshotBeginsAnew(t *testing.T) {
	image := bytes.Repeat([]byte("balsa"), 1000)
	for name, tc := range map[string]struct {
		m    *raft.InstallSnapshot
		data io.Reader
	}{
		"another stream":          {stream(8), bytes.NewReader(image)},
		"a stream without a name": {stream(0), bytes.NewReader(image)},
		"data without Seek":       {stream(7), io.MultiReader(bytes.NewReader(image))},
	} {
		t.Run(name, func(t *testing.T) {
			withKeeper(t, image, 3000, func(t *testing.T, a *node, k *keeper) {
				if err := a.SendSnapshot(t.Context(), tc.m, tc.data); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(k.calls, " "); got != "0" || !bytes.Equal(k.stored, image) {
					t.Errorf("begun at %s; %d bytes stored", got, len(k.stored))
				}
			})
		})
	}
}

// A receiver that cannot resume gets the whole stream.
func TestAReceiverNeedNotResume(t *testing.T) {
	withPipeNet(t, func(t *testing.T, w *pipeNet) {
		a, b := w.up(1), w.listening(2)
		var stored <-chan []byte
		b.snapshot, stored = storing(nil)
		b.Start(b)
		if err := a.SendSnapshot(t.Context(), stream(7), strings.NewReader("balsa")); err != nil || string(<-stored) != "balsa" {
			t.Errorf("got %v", err)
		}
	})
}

// The end of a resumed stream tells the length of all of it, and the checksum of what was sent.
func TestTheEndOfAResumedStreamIsChecked(t *testing.T) {
	image := bytes.Repeat([]byte("balsa"), 1000)
	right := streamEnd{length: 3000}
	right.add(image[3000:])
	for name, end := range map[string]streamEnd{
		"a longer stream": {right.length + 1, right.crc}, "other bytes": {right.length, right.crc + 1}, "the rest alone": {2000, right.crc},
	} {
		t.Run(name, func(t *testing.T) {
			withKeeper(t, image, 3000, func(t *testing.T, a *node, k *keeper) {
				c, _, err := a.peer(2).dial(t.Context(), forSnapshot)
				if err != nil {
					t.Fatal(err)
				}
				defer c.close()
				wire := appendOffset(appendMessageFrame(nil, stream(7)), frameSnapshotBegin, 3000)
				wire = appendFrame(wire, frameChunk, image[3000:])
				wire = appendLayout(wire, frameEnd, func(c *coder) { c.streamEnd(&end) })
				go c.write(wire)
				if err := awaitResult(c, make(chan uint64, 1)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "corrupt") {
					t.Errorf("got %v", err)
				}
				if k.stored != nil {
					t.Error("it was stored")
				}
			})
		})
	}
}
