package run

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pack returns what the index of a run says that begins with a revision and has these entries.
func pack(first uint64, entries []Entry) *packed {
	p := newPacked(first, int64(len(entries)))
	for i := range entries {
		p.add(&entries[i])
	}
	return p
}

// Keys that end where others go on with zeros, and those longer than what is compared first.
func TestEntriesAreSortedByKeyAndThenAsTheyCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "prefix")
		key := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a'}), 0, 11)
		var entries []Entry
		for i := range rapid.IntRange(0, 40).Draw(t, "entries") {
			entries = append(entries, Entry{Key: append(bytes.Clone(prefix), key.Draw(t, "key")...), Mod: uint64(i)})
		}
		var got []Entry
		list := pack(0, entries)
		c := memoryCursor{list: list, left: list.sorted()}
		for ok, _ := c.next(); ok; ok, _ = c.next() {
			got = append(got, c.Entry)
		}
		want := slices.Clone(entries)
		slices.SortStableFunc(want, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
		if !slices.EqualFunc(got, want, func(a, b Entry) bool { return bytes.Equal(a.Key, b.Key) && a.Mod == b.Mod }) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}
