package transport

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"balsa.example/raft"
)

// The layouts are what nodes of different builds have in common. A line of the golden file
// that changes needs a new kind of frame, or a new major version of the protocol.
func TestFramesStayAsTheyAre(t *testing.T) {
	const golden = "testdata/frames.txt"
	from := identity{group: 0xba15a, id: 1, name: []byte("n1"), card: []byte("card"), attributes: []byte("attributes")}
	copy(from.process[:], "0123456789abcdef")
	stream := *offer
	stream.Stream = 1 << 40
	end := streamEnd{length: 3}
	end.add([]byte("sa"))
	frames := []struct {
		name  string
		bytes []byte
	}{
		{"preamble", appendPreamble(nil)},
		{"hello", appendLayout(nil, frameHello, func(c *coder) { c.hello(&hello{forSnapshot, 2, from}) })},
		{"welcome", appendLayout(nil, frameWelcome, func(c *coder) { c.welcome(&welcome{from: from}) })},
		{"confirm", appendLayout(nil, frameConfirm, func(c *coder) { c.verdict(&verdict{}) })},
		{"refusal", appendLayout(nil, frameConfirm, func(c *coder) { c.verdict(&verdict{CodeNotMember, []byte("no member")}) })},
		{"keepalive", appendLayout(nil, frameKeepalive, func(c *coder) { c.keepalive(&keepalive{timeout: 1000}) })},
		{"duplicate", appendLayout(nil, frameKeepalive, func(c *coder) { c.keepalive(&keepalive{1000, []byte("10.0.0.1")}) })},
		{"message", appendMessageFrame(nil, &raft.TimeoutNow{Header: raft.Header{From: 1, To: 2, Term: 3}})},
		{"snapshot", appendMessageFrame(nil, offer)},
		{"stream", appendMessageFrame(nil, &stream)},
		{"kept", appendOffset(nil, frameSnapshotKept, 3)},
		{"begin", appendOffset(nil, frameSnapshotBegin, 3)},
		{"chunk", appendFrame(nil, frameChunk, []byte("sa"))},
		{"end", appendLayout(nil, frameEnd, func(c *coder) { c.streamEnd(&end) })},
		{"stored", appendFrame(nil, frameSnapshotResult, nil)},
		{"not-stored", appendFrame(nil, frameSnapshotResult, []byte("disk full"))},
		{"fetch", fetchFrame("run-7", 3)},
		{"opened", appendFrame(nil, frameOpened, nil)},
		{"failed", appendFailed(nil, &Refusal{Code: CodeNoSuchFile, Reason: "no run-7"})},
		{"stranger", appendLayout(nil, frameHello, func(c *coder) {
			c.hello(&hello{purpose: forCall, from: identity{name: from.name, process: from.process}})
		})},
		{"call", appendFrame(nil, frameCall, []byte("join"))},
		{"reply", appendFrame(nil, frameReply, []byte("welcome"))},
	}
	var got strings.Builder
	for _, f := range frames {
		fmt.Fprintf(&got, "%s %s\n", f.name, hex.EncodeToString(f.bytes))
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s would be\n%s", golden, got.String())
	}
}
