package kv_test

import (
	"bytes"
	"strings"
	"testing"
	"unsafe"

	"balsa.example/kv"

	"pgregory.net/rapid"
)

func drawOp(t *rapid.T, keys ...string) kv.Op {
	key := rapid.String()
	if len(keys) > 0 {
		key = rapid.SampledFrom(keys)
	}
	return kv.Op{
		Kind:           kv.OpKind(rapid.IntRange(int(kv.Get), int(kv.Delete)).Draw(t, "kind")),
		Key:            key.Draw(t, "key"),
		Value:          rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
		Version:        rapid.OneOf(rapid.Uint64Range(0, 4), rapid.Uint64()).Draw(t, "version"),
		Unconditional:  rapid.Bool().Draw(t, "unconditional"),
		UnchangedSince: rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(1, 40), rapid.Uint64()).Draw(t, "unchanged since"),
		Attempt:        kv.Attempt(rapid.IntRange(int(kv.AnyAttempt), int(kv.Resend)).Draw(t, "attempt")),
	}
}

func sameOp(a, b kv.Op) bool {
	return a.Kind == b.Kind && a.Key == b.Key && bytes.Equal(a.Value, b.Value) &&
		a.Version == b.Version && a.Unconditional == b.Unconditional && a.UnchangedSince == b.UnchangedSince && a.Attempt == b.Attempt
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op := drawOp(t)
		prefix := rapid.SliceOf(rapid.Byte()).Draw(t, "prefix")
		data := kv.Codec{}.Append(bytes.Clone(prefix), op)
		if !bytes.HasPrefix(data, prefix) {
			t.Fatalf("Append changed what was in dst")
		}
		got, err := kv.Codec{}.Decode(data[len(prefix):])
		if err != nil || !sameOp(got, op) {
			t.Fatalf("Decode(Append(%+v)) = %+v, %v", op, got, err)
		}
	})
}

func TestCodecOfUnknownKindIsRefusedOnlyByDoOp(t *testing.T) {
	op, err := kv.Codec{}.Decode(kv.Codec{}.Append(nil, kv.Op{Kind: 99, Key: "k"}))
	if err != nil {
		t.Fatalf("a caller's mistake would stop every replica: %v", err)
	}
	if code := newWorld(t).do(op).Code; code != kv.CodeUnknownKind {
		t.Errorf("code is %v", code)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := kv.Codec{}.Append(nil, put("key", "", 300))
	tests := []struct {
		name string
		data []byte
		text string
	}{
		{"nothing", nil, "truncated"},
		{"a format only", good[:1], "truncated"},
		{"no version", good[:2], "truncated"},
		{"half a version", good[:3], "truncated"},
		{"no revision", good[:4], "truncated"},
		{"no key length", good[:5], "truncated"},
		{"half a key", good[:len(good)-1], "truncated"},
		{"another format", append([]byte{2}, good[1:]...), "format 2"},
		{"a kind of the future", []byte{1, 4, 0, 1, 'k'}, "unknown kind 4"},
		{"an attempt of the future", []byte{1, 3<<5 | 2, 0, 1, 'k'}, "attempt 3"},
		{"a version over 64 bits", append([]byte{1, 2}, bytes.Repeat([]byte{0xff}, 11)...), "truncated"},
		{"a key length over all data", []byte{1, 2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "truncated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			op, err := kv.Codec{}.Decode(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %+v, %v; want an error with %q", op, err, tt.text)
			}
		})
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	op, dst := put("key", "value", 3), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { kv.Codec{}.Append(dst, op) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDecodedKeyAndValueAreShared(t *testing.T) {
	data := kv.Codec{}.Append(nil, put("key", "value", 3))
	op, err := kv.Codec{}.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if &op.Value[0] != &data[len(data)-len("value")] {
		t.Error("Decode copied the value")
	}
	if unsafe.StringData(op.Key) != &data[len(data)-len("keyvalue")] {
		t.Error("Decode copied the key")
	}
	if cap(op.Value) != len(op.Value) {
		t.Error("an append to the value would write behind it")
	}
}

func FuzzCodec(f *testing.F) {
	for _, op := range []kv.Op{get("k"), put("key", "value", 300), anyVersion(del("key", 0)), since(put("key", "", 0), 300), {}} {
		f.Add(kv.Codec{}.Append(nil, op))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		op, err := kv.Codec{}.Decode(data)
		if err != nil {
			return
		}
		if again, err := (kv.Codec{}).Decode(kv.Codec{}.Append(nil, op)); err != nil || !sameOp(op, again) {
			t.Fatalf("%+v came back as %+v, %v", op, again, err)
		}
		newWorld(t).do(op)
	})
}
