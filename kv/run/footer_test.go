package run

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

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
		for _, i := range sortEntries(entries) {
			got = append(got, entries[i])
		}
		want := slices.Clone(entries)
		slices.SortStableFunc(want, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
		if !slices.EqualFunc(got, want, func(a, b Entry) bool { return bytes.Equal(a.Key, b.Key) && a.Mod == b.Mod }) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}
