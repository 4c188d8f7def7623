package transport

import (
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"balsa.example/raft"
)

// examples has one message of each kind from node 1 to node 2: those whose encoding
// package raft keeps as it is.
func examples() (ms []raft.Message) {
	text, err := os.ReadFile("../raft/testdata/message_layouts.txt")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(text)) {
		var kind raft.MessageKind
		var name, encoding string
		if _, err := fmt.Sscan(line, &kind, &name, &encoding); err != nil {
			panic(err)
		}
		b, err := hex.DecodeString(encoding)
		if err != nil {
			panic(err)
		}
		m, err := raft.DecodeMessage(kind, b)
		if err != nil {
			panic(err)
		}
		ms = append(ms, m)
	}
	return ms
}

func FuzzDecodeHello(f *testing.F) {
	h := hello{purpose: forSnapshot, to: 2, from: identity{group: 3, id: 1, name: []byte("n"), card: []byte("c"), attributes: []byte("a")}}
	c := coder{encoding: true}
	c.hello(&h)
	f.Add(c.buf)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again hello
		d := coder{buf: b}
		if d.hello(&h); d.end() != nil {
			return
		}
		e := coder{encoding: true}
		e.hello(&h)
		d = coder{buf: e.buf}
		if d.hello(&again); d.end() != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%v became %v, %v", h, again, d.err)
		}
	})
}

func benchmarkAppend(entries, size int) *raft.AppendEntries {
	m := &raft.AppendEntries{Header: raft.Header{From: 1, To: 2, Term: 7}, PrevIndex: 1e6, PrevTerm: 7, Commit: 1e6, Round: 1e5}
	for i := range entries {
		m.Entries = append(m.Entries, raft.Entry{Term: 7, Index: raft.Index(1e6 + 1 + i), Kind: raft.EntryCommand, Data: make([]byte, size)})
	}
	return m
}
