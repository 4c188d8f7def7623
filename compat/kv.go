package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

var kvChecks = []check{
	{name: "kv/put", run: func(t *T) {
		k := t.b("a")
		t.send(&pb.PutRequest{Key: k, Value: []byte("1")})
		t.send(&pb.PutRequest{Key: k, Value: []byte("2"), PrevKv: true})
		t.send(&pb.PutRequest{Key: k, IgnoreValue: true, PrevKv: true})
		t.send(&pb.PutRequest{Key: k, Value: []byte("3"), IgnoreLease: true})
		t.send(&pb.PutRequest{Key: k})
		t.send(&pb.RangeRequest{Key: k})
		t.send(&pb.PutRequest{Key: t.b("b"), PrevKv: true})
	}},
	{name: "kv/put-refused", run: func(t *T) {
		t.send(&pb.PutRequest{Value: []byte("1")})
		t.send(&pb.PutRequest{Key: t.b("a"), IgnoreValue: true})
		t.send(&pb.PutRequest{Key: t.b("a"), IgnoreLease: true})
		t.send(&pb.PutRequest{Key: t.b("a"), Value: []byte("1"), IgnoreValue: true})
		t.send(&pb.PutRequest{Key: t.b("a"), Lease: 77, IgnoreLease: true})
		t.send(&pb.PutRequest{Key: t.b("a"), Lease: 77})
		t.send(&pb.PutRequest{Key: t.b("a"), Lease: -1})
		t.send(&pb.RangeRequest{Key: t.b("a")})
	}},
	{name: "kv/put-large", run: func(t *T) {
		for _, n := range []int{1 << 20, 3<<19 - 1024, 3 << 19, 2<<20 + 100, 3 << 20} {
			_, err := t.sendTo(0, &pb.PutRequest{Key: t.b("a"), Value: bytes.Repeat([]byte("x"), n)})
			t.say(fmt.Sprintf("%d bytes", n), "%v", err == nil)
		}
		t.send(&pb.PutRequest{Key: bytes.Repeat([]byte("k"), 1<<20)})
		t.send(&pb.DeleteRangeRequest{Key: bytes.Repeat([]byte("k"), 1<<20)})
	}},
	{name: "kv/range", run: func(t *T) {
		for i, k := range []string{"a", "ab", "b", "c", "d"} {
			t.put(k, fmt.Sprint("v", 9-i))
		}
		t.put("b", "again")
		t.put("a", "again")
		t.put("b", "third")
		for _, r := range []*pb.RangeRequest{
			{Key: t.b("a")}, {Key: t.b("z")}, {Key: t.b("")}, {Key: t.b("a"), RangeEnd: t.b("c")}, {Key: t.b("c"), RangeEnd: t.b("a")},
			{Key: t.b("b"), RangeEnd: t.b("b")}, {Key: t.b(""), RangeEnd: t.end()}, {Key: t.b(""), RangeEnd: t.end(), Limit: 2},
			{Key: t.b(""), RangeEnd: t.end(), Limit: 5}, {Key: t.b(""), RangeEnd: t.end(), Limit: -1},
			{Key: t.b(""), RangeEnd: t.end(), CountOnly: true}, {Key: t.b(""), RangeEnd: t.end(), CountOnly: true, Limit: 1},
			{Key: t.b(""), RangeEnd: t.end(), KeysOnly: true}, {Key: t.b("a"), KeysOnly: true, CountOnly: true},
			{Key: t.b("a"), Serializable: true}, {},
			{RangeEnd: []byte{0}}, {RangeEnd: t.end()},
		} {
			t.send(r)
		}
	}},
	{name: "kv/range-open-end", run: func(t *T) {
		last := "\xff\xff" + t.name
		t.send(&pb.PutRequest{Key: []byte(last), Value: []byte("1")})
		t.send(&pb.RangeRequest{Key: []byte("\xff"), RangeEnd: []byte{0}, KeysOnly: true})
		t.send(&pb.RangeRequest{Key: []byte("\xff\xff\xff\xff"), RangeEnd: []byte{0}})
		t.send(&pb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}, Limit: 1, CountOnly: false, KeysOnly: true, SortOrder: pb.RangeRequest_DESCEND})
		t.send(&pb.DeleteRangeRequest{Key: []byte("\xff"), RangeEnd: []byte{0}, PrevKv: true})
	}},
	{name: "kv/range-sort", run: func(t *T) {
		for i, k := range []string{"e", "b", "d", "a", "c"} {
			t.put(k, fmt.Sprint("v", (i*3)%5))
		}
		t.put("b", "v9")
		t.put("d", "v0")
		t.put("b", "v1")
		for target := range pb.RangeRequest_SortTarget_name {
			_ = target
		}
		for target := range len(pb.RangeRequest_SortTarget_name) {
			for order := range len(pb.RangeRequest_SortOrder_name) {
				for _, limit := range []int64{0, 2} {
					t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Limit: limit,
						SortTarget: pb.RangeRequest_SortTarget(target), SortOrder: pb.RangeRequest_SortOrder(order)})
				}
			}
		}
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), SortTarget: 9})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), SortOrder: 9})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), SortOrder: -1})
	}},
	{name: "kv/range-filters", run: func(t *T) {
		var revs []int64
		for _, k := range []string{"a", "b", "c", "a", "d", "b"} {
			revs = append(revs, t.put(k, "x"))
		}
		for _, r := range []*pb.RangeRequest{
			{MinModRevision: revs[2]}, {MaxModRevision: revs[2]}, {MinCreateRevision: revs[2]}, {MaxCreateRevision: revs[1]},
			{MinModRevision: revs[2], MaxModRevision: revs[4]}, {MinModRevision: revs[2], Limit: 2}, {MinModRevision: revs[2], CountOnly: true},
			{MaxModRevision: 1}, {MinModRevision: revs[5], MaxModRevision: revs[0]}, {MinCreateRevision: revs[0], Limit: 1, SortOrder: pb.RangeRequest_DESCEND},
		} {
			r.Key, r.RangeEnd = t.b(""), t.end()
			t.send(r)
		}
	}},
	{name: "kv/range-at-revision", run: func(t *T) {
		first := t.put("a", "1")
		second := t.put("a", "2")
		t.put("b", "1")
		t.send(&pb.DeleteRangeRequest{Key: t.b("a")})
		t.put("a", "3")
		for _, rev := range []int64{first - 1, first, second, second + 1, second + 2, second + 3, second + 4, second + 100, 1, -1} {
			t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Revision: rev})
			t.send(&pb.RangeRequest{Key: t.b("a"), Revision: rev, Serializable: true})
		}
	}},
	{name: "kv/delete", run: func(t *T) {
		for _, k := range []string{"a", "b", "c", "d", "e"} {
			t.put(k, k)
		}
		t.send(&pb.DeleteRangeRequest{Key: t.b("z")})
		t.send(&pb.DeleteRangeRequest{Key: t.b("a")})
		t.send(&pb.DeleteRangeRequest{Key: t.b("a")})
		t.send(&pb.DeleteRangeRequest{Key: t.b("b"), PrevKv: true})
		t.send(&pb.DeleteRangeRequest{Key: t.b("d"), RangeEnd: t.b("c")})
		t.send(&pb.DeleteRangeRequest{Key: t.b(""), RangeEnd: t.end(), PrevKv: true})
		t.send(&pb.DeleteRangeRequest{})
		t.send(&pb.DeleteRangeRequest{RangeEnd: t.b("a")})
		t.put("a", "new")
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "kv/compact", run: func(t *T) {
		first := t.put("a", "1")
		second := t.put("a", "2")
		t.put("b", "1")
		t.send(&pb.DeleteRangeRequest{Key: t.b("b")})
		last := t.put("a", "3")
		t.send(&pb.CompactionRequest{Revision: last + 1})
		t.send(&pb.CompactionRequest{Revision: last + 1000})
		t.send(&pb.CompactionRequest{Revision: second})
		t.send(&pb.CompactionRequest{Revision: second})
		t.send(&pb.CompactionRequest{Revision: first})
		t.send(&pb.CompactionRequest{Revision: 0})
		t.send(&pb.CompactionRequest{Revision: -1})
		for _, rev := range []int64{first, second, second + 1, last, 1} {
			t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Revision: rev})
			t.send(&pb.RangeRequest{Key: t.b("a"), Revision: rev})
		}
		t.send(&pb.CompactionRequest{Revision: last, Physical: true})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Revision: last})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Revision: last - 1})
		t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end()})
	}},
	{name: "kv/paged-list-and-compaction", run: func(t *T) {
		// As Kubernetes' apiserver lists: a page, then the rest at the revision of the first.
		for i := range 10 {
			t.put(fmt.Sprint("k", i), "x")
		}
		first := t.send(&pb.RangeRequest{Key: t.b(""), RangeEnd: t.end(), Limit: 4}).(*pb.RangeResponse)
		if len(first.Kvs) == 0 {
			return
		}
		rev := first.Header.Revision
		t.put("k0", "y")
		t.send(&pb.DeleteRangeRequest{Key: t.b("k6")})
		next := append(bytes.Clone(first.Kvs[len(first.Kvs)-1].Key), 0)
		second := t.send(&pb.RangeRequest{Key: next, RangeEnd: t.end(), Limit: 4, Revision: rev}).(*pb.RangeResponse)
		if len(second.Kvs) == 0 {
			return
		}
		next = append(bytes.Clone(second.Kvs[len(second.Kvs)-1].Key), 0)
		t.send(&pb.CompactionRequest{Revision: rev})
		t.send(&pb.RangeRequest{Key: next, RangeEnd: t.end(), Limit: 4, Revision: rev})
		t.send(&pb.CompactionRequest{Revision: rev + 1})
		t.send(&pb.RangeRequest{Key: next, RangeEnd: t.end(), Limit: 4, Revision: rev})
	}},
	{name: "kv/members-agree", run: func(t *T) {
		for i := range t.conns {
			t.sendTo(i, &pb.PutRequest{Key: t.b("a"), Value: []byte(fmt.Sprint(i)), PrevKv: true})
			for j := range t.conns {
				t.sendTo(j, &pb.RangeRequest{Key: t.b("a")})
			}
		}
	}},
	{name: "kv/range-stream", run: func(t *T) {
		for i := range 30 {
			t.put(fmt.Sprintf("k%02d", i), strings.Repeat("x", 10))
		}
		for _, req := range []*pb.RangeRequest{
			{Key: t.b(""), RangeEnd: t.end()}, {Key: t.b(""), RangeEnd: t.end(), Limit: 7}, {Key: t.b("k01")}, {Key: t.b("nothing")}, {},
			{Key: t.b(""), RangeEnd: t.end(), CountOnly: true}, {Key: t.b(""), RangeEnd: t.end(), KeysOnly: true, Revision: 1 << 40},
			{Key: t.b(""), RangeEnd: t.end(), SortOrder: pb.RangeRequest_DESCEND}, {Key: t.b(""), RangeEnd: t.end(), MinModRevision: 1},
		} {
			stream, err := pb.NewKVClient(t.conns[0]).RangeStream(t.ctx, req)
			t.fail("stream", err)
			for err == nil {
				_, err = stream.Recv()
			}
			t.say("stream ends", "%t", err == io.EOF)
		}
	}},
}
