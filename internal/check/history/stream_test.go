package history

import (
	"slices"
	"strings"
	"testing"

	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/state"
)

func TestStreams(t *testing.T) {
	m := naive.New(naive.Limits{})
	var all [][]kv.Event
	for _, ops := range [][]kv.TxnOp{
		{{Put: &kv.PutOp{Key: "a"}}},                                                // 2
		{{Put: &kv.PutOp{Key: "x"}}},                                                // 3
		{{Put: &kv.PutOp{Key: "b"}}, {Put: &kv.PutOp{Key: "a"}}},                    // 4
		{{Delete: &kv.DeleteOp{Span: kv.Span{From: "a", To: "c"}}}},                 // 5
		{{Put: &kv.PutOp{Key: "a"}}, {Delete: &kv.DeleteOp{Span: kv.FromKey("x")}}}, // 6
	} {
		m.DoOp(state.Command{More: &state.More{Kind: state.KindTxn, Txn: &kv.Txn{Then: ops}}})
		all = append(all, m.Events(m.Revision()))
	}
	span := kv.Span{From: "a", To: "c"}
	of := func(revisions ...uint64) (events []kv.Event) {
		for _, r := range revisions {
			for _, e := range m.Events(r) {
				if span.Contains(e.Key) {
					e.Prev = nil
					events = append(events, e)
				}
			}
		}
		return events
	}
	ev := func(revisions ...uint64) Batch { return Batch{Events: of(revisions...)} }
	swapped := of(4)
	slices.Reverse(swapped)
	extra := ev(2)
	extra.Events[0].Version++
	for _, test := range []struct {
		name    string
		s       Stream
		batches []Batch
		want    string
	}{
		{"all, in any batches", Stream{Until: 6}, []Batch{ev(2), ev(4, 5), ev(6)}, ""},
		{"from a revision on", Stream{From: 5, Until: 6}, []Batch{ev(5), ev(6)}, ""},
		{"stopped anywhere", Stream{}, []Batch{ev(2)}, ""},
		{"progress", Stream{Until: 6}, []Batch{ev(2), {Progress: 3}, ev(4), ev(5, 6), {Progress: 6}, {Progress: 6}}, ""},
		{"no deletes", Stream{NoDeletes: true, Until: 6}, []Batch{ev(2), ev(4), ev(6)}, ""},
		{"no puts", Stream{NoPuts: true, Until: 6}, []Batch{ev(5)}, ""},
		{"compacted", Stream{}, []Batch{ev(2), {Compacted: 4}}, ""},
		{"too few", Stream{Until: 6}, []Batch{ev(2), ev(4, 5)}, "never told of revision 6"},
		{"a gap", Stream{}, []Batch{ev(2), ev(5)}, "revision 4 was not sent"},
		{"a gap in a batch", Stream{}, []Batch{ev(2, 5)}, "revision 4 was not sent"},
		{"again", Stream{}, []Batch{ev(2), ev(2)}, "revision 2 after 2"},
		{"backwards", Stream{}, []Batch{ev(2), ev(5, 4)}, "revision 4 was not sent"},
		{"below the first revision", Stream{From: 5}, []Batch{ev(4)}, "revision 4 after 4"},
		{"another order within a revision", Stream{From: 4}, []Batch{{Events: swapped}}, "revision 4: got"},
		{"half a revision", Stream{From: 4}, []Batch{{Events: of(4)[:1]}, {Events: of(4)[1:]}}, "revision 4: got"},
		{"another value", Stream{}, []Batch{extra}, "revision 2: got"},
		{"a delete that was not wanted", Stream{NoDeletes: true, From: 5}, []Batch{ev(5)}, "revision 5: got"},
		{"without what was before", Stream{Prev: true, From: 5}, []Batch{ev(5)}, "revision 5: got"},
		{"nothing", Stream{}, []Batch{{}}, "is empty"},
		{"progress too early", Stream{}, []Batch{ev(2), {Progress: 4}}, "revision 4 was not sent"},
		{"progress to come", Stream{From: 7}, []Batch{{Progress: 7}}, "revision 6 is the last one"},
		{"an event behind the progress", Stream{From: 3}, []Batch{{Progress: 3}, ev(4), {Progress: 4}, ev(4)}, "revision 4 after 4"},
		{"progress backwards", Stream{}, []Batch{ev(2, 4), {Progress: 2}}, "progress 2 after revision 4"},
		{"compacted for nothing", Stream{}, []Batch{ev(2, 4), {Compacted: 4}}, "the next revision 5 is there"},
		{"compacted by nobody", Stream{}, []Batch{ev(2), {Compacted: 5}}, "the last compaction is at 4"},
		{"on after the end", Stream{}, []Batch{{Compacted: 4}, ev(4)}, "comes after the end"},
		{"a revision to come", Stream{From: 7}, []Batch{{Events: []kv.Event{{Entry: kv.Entry{Key: "a", ModRevision: 7}}}}}, "was not committed"},
	} {
		test.s.Span, test.s.Batches = span, test.batches
		err := CheckStream(&test.s, all, 4)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestLeases(t *testing.T) {
	at := func(times ...int64) (list []Interval) {
		for _, t := range times {
			list = append(list, Interval{t, t + 10})
		}
		return list
	}
	lost := []Interval{{300, never}}
	for _, test := range []struct {
		name string
		l    Lease
		late int64
		want string
	}{
		{"ends in time", Lease{Kept: at(0, 500), Seen: at(0, 900), Gone: at(1700)}, 100, ""},
		{"ends early", Lease{Kept: at(0, 500), Gone: at(1300)}, 100, "until 1409 at least"},
		{"ends early, by a slow clock", Lease{Kept: at(0, 500), Gone: at(1405)}, 100, ""},
		{"ends late", Lease{Kept: at(0), Seen: at(1300)}, 100, "until 1210 at most"},
		{"ends late, among faults", Lease{Kept: at(0), Seen: at(1300)}, -1, ""},
		{"was perhaps kept alive", Lease{Kept: append(at(0), lost...), Seen: at(5000), Gone: at(6000)}, 100, ""},
		{"comes back", Lease{Kept: at(0), Gone: at(1200), Seen: at(1211)}, -1, "saw it alive"},
		{"was revoked", Lease{Kept: at(0), Revoked: at(100), Gone: at(200)}, 100, ""},
		{"goes before it is revoked", Lease{Kept: at(0), Revoked: at(100), Gone: at(80)}, 100, "until 100 at least"},
		{"was perhaps revoked", Lease{Kept: at(0), Revoked: lost, Gone: at(300)}, 100, ""},
		{"was revoked, and is there", Lease{Kept: at(0), Revoked: at(100), Seen: at(111)}, 100, "until 110 at most"},
	} {
		test.l.TTL = 1000
		err := CheckLease(&test.l, 0.1, test.late)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
