package lease_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"balsa.example/state/lease"
	"balsa.example/state/logtime"
)

// filled has leases of all kinds.
func filled(t testing.TB) *lease.Table {
	t.Helper()
	return filledWith(t, 200)
}

func filledWith(t testing.TB, leases int64) *lease.Table {
	t.Helper()
	table := newTable(t, lease.DefaultLimits())
	table.Advance(logtime.Stamp{Log: 77, Wall: -5})
	for id := int64(1); id <= leases; id++ {
		if err := table.Grant(id*id, 1000+id, id%3 == 0); err != nil {
			t.Fatal(err)
		}
		for i := range id % 5 * id % 97 {
			attach(t, table, id*id, fmt.Sprint("key ", i))
		}
		if id%3 == 0 {
			for seq := uint64(3); seq < 6; seq++ {
				execute(t, table, lease.SessionSeq{ID: id * id, Seq: seq, Acked: 1}, make([]byte, id*int64(seq)*6))
			}
		}
	}
	table.Revoke(9 * 9)
	return table
}

func TestImageRestoresEverything(t *testing.T) {
	for name, table := range map[string]*lease.Table{"empty": newTable(t, smallLimits), "filled": filled(t)} {
		data := encode(t, table.Image())
		back := decode(t, data)
		if back.Hash() != table.Hash() || back.Limits() != table.Limits() || back.Stamp() != table.Stamp() ||
			back.OutcomeBytes() != table.OutcomeBytes() || back.Keys() != table.Keys() || back.Sessions() != table.Sessions() {
			t.Errorf("%s: something is different", name)
		}
		if !bytes.Equal(encode(t, back.Image()), data) {
			t.Errorf("%s: the restored table has another image", name)
		}
	}
}

func TestDecodeReadsNothingBehindTheImage(t *testing.T) {
	data := encode(t, filled(t).Image())
	r := bufio.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader("next section")))
	if _, err := lease.Decode(r); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); string(rest) != "next section" || err != nil {
		t.Errorf("%q, %v is left", rest, err)
	}
}

// TestImageIsWrittenWhileTheTableChanges is for the race detector.
func TestImageIsWrittenWhileTheTableChanges(t *testing.T) {
	table := filled(t)
	ids := table.Leases()
	var wg sync.WaitGroup
	for round := range 6 {
		im := table.Image()
		want := encode(t, im)
		wg.Go(func() {
			for range 2 {
				var b bytes.Buffer
				if _, err := im.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
					t.Errorf("image %d differs, or %v", round, err)
				}
			}
		})
		table.Advance(logtime.Stamp{Log: logtime.Time(100 + round)})
		table.KeepAlive(ids, nil)
		for i, id := range ids {
			table.Attach(id, fmt.Sprint("round ", round))
			table.Detach(id, "key 1")
			if a := (lease.SessionSeq{ID: id, Seq: uint64(10 + round), Acked: uint64(3 + round)}); i%2 == 0 {
				if verdict, _ := table.Begin(a); verdict == lease.Execute {
					table.Finish(a, 1, 1, []byte("x"))
				}
			}
		}
		table.Revoke(ids[round])
	}
	wg.Wait()
}

func TestDamagedImagesAreRefused(t *testing.T) {
	good := encode(t, filledWith(t, 12).Image())
	for i := range good {
		for _, flip := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			if back, err := lease.Decode(bufio.NewReader(bytes.NewReader(bad))); err == nil {
				t.Fatalf("byte %d of %d changed by %x: decoded, hash %x", i, len(good), flip, back.Hash())
			} else if !errors.Is(err, lease.ErrBadImage) && !errors.Is(err, lease.ErrNewerImage) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
		if i%7 == 0 {
			if _, err := lease.Decode(bufio.NewReader(bytes.NewReader(good[:i]))); !errors.Is(err, lease.ErrBadImage) {
				t.Fatalf("%d bytes: %v", i, err)
			}
		}
	}
	fire := errors.New("disk on fire")
	r := io.MultiReader(bytes.NewReader(good[:50]), iotest.ErrReader(fire))
	if _, err := lease.Decode(bufio.NewReader(r)); !errors.Is(err, fire) {
		t.Errorf("error of the reader: %v", err)
	}
	if _, err := filled(t).Image().WriteTo(failing{fire}); !errors.Is(err, fire) {
		t.Errorf("error of the writer: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// header is an image of the default limits that says it has so many leases.
func header(leases uint64) []byte {
	b := []byte{2}
	l := lease.DefaultLimits()
	for _, v := range []uint64{uint64(l.Leases), uint64(l.KeysPerLease), uint64(l.Window), uint64(l.OutcomeBytes), uint64(l.SessionBytes), l.AllOutcomeBytes, 0, 0, leases} {
		b = binary.AppendUvarint(b, v)
	}
	return binary.LittleEndian.AppendUint64(b, 0)
}

func TestDecodeTrustsNoLength(t *testing.T) {
	id := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	for name, data := range map[string][]byte{
		"leases":        header(1_000_000),
		"keys":          append(append(header(1), id...), 0, 1, 0, 0xa0, 0x8d, 0x06),
		"key":           append(append(header(1), id...), 0, 1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"outcomes":      append(append(header(1), id...), 1, 1, 0, 0, 0, 0x80, 0x08),
		"leases beyond": header(1_000_001),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := lease.Decode(bufio.NewReader(bytes.NewReader(data))); !errors.Is(err, lease.ErrBadImage) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(data))
		}
	}
}

// formatOne is an image of the time when outcomes had no codes: a lease with a key, and a session
// with a whole outcome and one without its result.
const formatOne = "0105040628da03d605070002776d3eda87bd85cf03000000000000000080c8afa02587c8afa02501016b0900000000000000" +
	"0180c8afa02587c8afa02500010201660474776f026700"

func TestImageOfFormatOneIsRead(t *testing.T) {
	data, err := hex.DecodeString(formatOne)
	if err != nil {
		t.Fatal(err)
	}
	table := decode(t, data) // which compares the hash
	for range 2 {
		for seq, want := range map[uint64]lease.Outcome{
			2: {Revision: 102, Whole: true, Result: []byte("two")},
			3: {Revision: 103},
		} {
			if verdict, o := table.Begin(lease.SessionSeq{ID: 9, Seq: seq, Acked: 1}); verdict != lease.Replay || !reflect.DeepEqual(o, want) {
				t.Errorf("command %d: %v, %+v", seq, verdict, o)
			}
		}
		if keys := table.KeysOf(3); len(keys) != 1 || keys[0] != "k" {
			t.Errorf("keys %q", keys)
		}
		table = decode(t, encode(t, table.Image()))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, filled(f).Image()))
	f.Add(encode(f, newTable(f, smallLimits).Image()))
	old, _ := hex.DecodeString(formatOne)
	f.Add(old)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		buf := bufio.NewReader(r)
		table, err := lease.Decode(buf)
		if err != nil {
			return
		}
		used := len(data) - r.Len() - buf.Buffered()
		if data[0] > 1 && !bytes.Equal(encode(t, table.Image()), data[:used]) {
			t.Error("another encoding of the same state was accepted")
		}
	})
}
