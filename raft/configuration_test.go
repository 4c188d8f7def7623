package raft

import "testing"

// A node uses the latest configuration in its log, committed or not, and returns to
// the one before when that entry is truncated.
func TestConfigurationsFollowTheLog(t *testing.T) {
	a, b, c := NewConfiguration(1), NewConfiguration(1, 2), NewConfiguration(1, 2)
	b.Voters.Outgoing = a.Voters.Incoming
	entry := func(i Index, conf Configuration) Entry {
		return Entry{Term: 1, Index: i, Kind: EntryConfiguration, Data: AppendConfiguration(nil, conf)}
	}
	confs, err := newConfigurations(State{
		Snapshot: SnapshotMeta{Index: 10, Term: 1, Configuration: a},
		Entries:  []Entry{{Term: 1, Index: 11}, entry(12, b), {Term: 1, Index: 13}, entry(14, c)},
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want map[Index]Configuration) {
		t.Helper()
		for i, conf := range want {
			if got := confs.at(i); !got.Equal(conf) {
				t.Errorf("%s, %s is in force at %d, want %s", when, got.Voters, i, conf.Voters)
			}
		}
	}
	check("at first", map[Index]Configuration{10: a, 11: a, 12: b, 13: b, 14: c, 99: c})

	confs.truncate(14)
	check("without the last", map[Index]Configuration{11: a, 13: b, 14: b, 99: b})

	a = c
	a.Learners = []NodeID{7}
	if _, err := confs.append([]Entry{{Term: 2, Index: 14}, entry(15, c), entry(16, a)}); err != nil {
		t.Fatal(err)
	}
	confs.compact(13)
	check("behind 13", map[Index]Configuration{13: b, 14: b, 15: c, 16: a})

	confs.truncate(14)
	if got := confs.latest(); !got.Equal(b) {
		t.Errorf("%s is the latest, want %s", got.Voters, b.Voters)
	}
	if _, err := confs.append([]Entry{{Index: 14, Kind: EntryConfiguration, Data: []byte{9}}}); err == nil {
		t.Error("a damaged configuration is taken")
	}
	if _, err := confs.append([]Entry{entry(14, NewConfiguration(1, 2, 3))}); err == nil {
		t.Error("a configuration is taken that shares no quorum with the one before")
	}
}

// The same at a follower, when its leader replaces the entry of a configuration.
func TestConfigurationOfAnOverwrittenEntryIsForgotten(t *testing.T) {
	r := newCore(t, 2, 3, State{HardState: HardState{Term: 1}})
	joint := NewConfiguration(1, 2, 3, 4)
	joint.Voters.Outgoing = NewConfiguration(1, 2, 3).Voters.Incoming
	data := AppendConfiguration(nil, joint)
	step(t, r, &AppendEntries{Header: Header{From: 1, To: 2, Term: 1}, Entries: []Entry{{Term: 1, Index: 1, Kind: EntryConfiguration, Data: data}}})
	if got := r.Status().Configuration.Voters.IDs(); len(got) != 4 {
		t.Fatalf("voters %v after the entry", got)
	}
	step(t, r, &AppendEntries{Header: Header{From: 3, To: 2, Term: 2}, Entries: []Entry{{Term: 2, Index: 1}}})
	if got := r.Status().Configuration.Voters.IDs(); len(got) != 3 {
		t.Errorf("voters %v after another entry took its place", got)
	}
}
