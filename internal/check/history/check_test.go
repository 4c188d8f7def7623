package history

import (
	"strings"
	"testing"
	"time"
)

// A checker that cannot fail proves nothing: each history but the good ones has one
// thing wrong.
func TestCheck(t *testing.T) {
	put := func(call, ret int64, value string, version, revision uint64, o Outcome) Op {
		return Op{Kind: Put, Key: "k", Value: value, Version: version, Revision: revision, Outcome: o, Call: call, Return: ret}
	}
	get := func(call, ret int64, value string, version uint64, o Outcome) Op {
		return Op{Kind: Get, Key: "k", Value: value, Version: version, Outcome: o, Call: call, Return: ret}
	}
	for _, test := range []struct {
		name string
		ops  []Op
		want string // part of the error; "" for none
	}{
		{"one after the other", []Op{put(0, 1, "a", 0, 2, OK), get(2, 3, "a", 1, OK), put(4, 5, "b", 1, 3, OK), put(6, 7, "c", 1, 0, VersionMismatch)}, ""},
		{"a lost write that shows", []Op{put(0, never, "a", 0, 0, Maybe), get(2, 3, "a", 1, OK)}, ""},
		{"a lost write that shows late", []Op{put(0, never, "a", 0, 0, Maybe), get(2, 3, "", 0, NoKey), get(4, 5, "a", 1, OK)}, ""},
		{"a lost write that never shows", []Op{put(0, never, "a", 0, 0, Maybe), get(2, 3, "", 0, NoKey)}, ""},
		{"a lost acknowledged write", []Op{put(0, 1, "a", 0, 2, OK), get(2, 3, "", 0, NoKey)}, "not linearizable"},
		{"a stale read", []Op{put(0, 1, "a", 0, 2, OK), put(2, 3, "b", 1, 3, OK), get(4, 5, "a", 1, OK)}, "not linearizable"},
		{"a value that nobody wrote", []Op{put(0, 1, "a", 0, 2, OK), get(2, 3, "x", 1, OK)}, "not linearizable"},
		{"a lost write that shows and goes", []Op{put(0, never, "a", 0, 0, Maybe), get(2, 3, "a", 1, OK), get(4, 5, "", 0, NoKey)}, "not linearizable"},
		{"a version made twice", []Op{put(0, 9, "a", 0, 2, OK), put(0, 9, "b", 0, 3, OK)}, "written twice"},
		{"a revision given twice", []Op{put(0, 1, "a", 0, 2, OK), put(2, 3, "b", 1, 2, OK)}, "given twice"},
		{"revisions against real time", []Op{put(0, 1, "a", 0, 3, OK), put(2, 3, "b", 1, 2, OK)}, "came after"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Check(test.ops, time.Minute)
			switch {
			case err == nil && test.want != "":
				t.Errorf("accepted, want %q", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("refused with %q, want %q", err, test.want)
			}
		})
	}
}
