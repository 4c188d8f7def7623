package lease_test

import (
	"bufio"
	"bytes"
	"cmp"
	"maps"
	"reflect"
	"slices"
	"testing"

	"balsa.example/state/lease"
	"balsa.example/state/logtime"

	"pgregory.net/rapid"
)

// model is the table said naively: maps, and the rules one after the other.
type model struct {
	limits lease.Limits
	now    logtime.Time
	leases map[int64]*modelLease
}

type modelLease struct {
	id, ttl   int64
	expiry    logtime.Time
	ticks     int // that are missing until it has an end
	isSession bool
	keys      map[string]bool
	floor     uint64
	outcomes  map[uint64]lease.Outcome
}

func (m *model) grant(id, ttl int64, isSession bool) error {
	switch {
	case m.leases[id] != nil:
		return lease.ErrExists
	case ttl < 1 || ttl > lease.MaxTTL:
		return lease.ErrTTL
	case len(m.leases) == int(m.limits.Leases):
		return lease.ErrTooManyLeases
	}
	m.leases[id] = &modelLease{
		id: id, ttl: ttl, expiry: m.now.Add(ttl), isSession: isSession,
		keys: map[string]bool{}, outcomes: map[uint64]lease.Outcome{},
	}
	return nil
}

func (m *model) keepAlive(ids []int64) (remaining []int64) {
	for _, id := range ids {
		if l := m.leases[id]; l != nil {
			l.expiry, l.ticks = m.now.Add(l.ttl), 0
			remaining = append(remaining, l.ttl)
		} else {
			remaining = append(remaining, 0)
		}
	}
	return remaining
}

// float lets leases float, settle makes one step of that: the lease of which ticks is 2 or 1 has
// no end yet.
func (m *model) float(ids []int64) {
	for _, id := range ids {
		if l := m.leases[id]; l != nil {
			l.ticks, l.expiry = 2, logtime.Never
		}
	}
}

func (m *model) settle() {
	for _, l := range m.leases {
		if l.ticks == 0 {
			continue
		}
		if l.ticks--; l.ticks == 0 {
			l.expiry = m.now.Add(l.ttl)
		}
	}
}

func (m *model) ends(l *modelLease) logtime.Time {
	if l.ticks > 0 {
		return m.now.Add(l.ttl)
	}
	return l.expiry
}

func (m *model) revoke(id int64) (lease.Ended, error) {
	l := m.leases[id]
	if l == nil {
		return lease.Ended{}, lease.ErrNotFound
	}
	delete(m.leases, id)
	return lease.Ended{ID: id, Session: l.isSession, Keys: slices.Sorted(maps.Keys(l.keys))}, nil
}

func (m *model) byExpiry() []*modelLease {
	return slices.SortedFunc(maps.Values(m.leases), func(a, b *modelLease) int {
		return cmp.Or(cmp.Compare(a.expiry, b.expiry), cmp.Compare(a.id, b.id))
	})
}

func (m *model) expire(until logtime.Time, budget int) (ended []lease.Ended) {
	spent := 0
	for _, l := range m.byExpiry() {
		if l.expiry > until || spent >= budget && len(ended) > 0 {
			break
		}
		e, _ := m.revoke(l.id)
		spent += 1 + len(e.Keys)
		ended = append(ended, e)
	}
	return ended
}

func (m *model) attach(id int64, key string) error {
	l := m.leases[id]
	switch {
	case l == nil:
		return lease.ErrNotFound
	case !l.keys[key] && len(l.keys) == int(m.limits.KeysPerLease):
		return lease.ErrTooManyKeys
	}
	l.keys[key] = true
	return nil
}

func (m *model) begin(a lease.SessionSeq) (lease.Verdict, lease.Outcome) {
	l := m.leases[a.ID]
	if l == nil || !l.isSession || a.Seq <= l.floor || a.Seq <= a.Acked {
		return lease.Unknown, lease.Outcome{}
	}
	before, found := l.outcomes[a.Seq]
	floor := max(l.floor, a.Acked)
	if a.Seq > uint64(m.limits.Window) {
		floor = max(floor, a.Seq-uint64(m.limits.Window))
	}
	l.forget(floor)
	if found {
		return lease.Replay, before
	}
	return lease.Execute, lease.Outcome{}
}

func (l *modelLease) forget(floor uint64) {
	l.floor = floor
	maps.DeleteFunc(l.outcomes, func(seq uint64, _ lease.Outcome) bool { return seq <= floor })
}

const overhead = 64

func (l *modelLease) bytes() (n uint64) {
	for _, o := range l.outcomes {
		n += overhead + uint64(len(o.Result))
	}
	return n
}

func (m *model) finish(a lease.SessionSeq, revision uint64, code byte, result []byte) {
	l := m.leases[a.ID]
	o := lease.Outcome{Revision: revision, Code: code}
	if len(result) <= int(m.limits.OutcomeBytes) {
		o.Whole, o.Result = true, result
	}
	l.outcomes[a.Seq] = o
	all := func() (n uint64) {
		for _, l := range m.leases {
			n += l.bytes()
		}
		return n
	}
	seqs := slices.Sorted(maps.Keys(l.outcomes))
	for _, seq := range seqs {
		if o := l.outcomes[seq]; len(o.Result) > 0 && (l.bytes() > uint64(m.limits.SessionBytes) || all() > m.limits.AllOutcomeBytes) {
			l.outcomes[seq] = lease.Outcome{Revision: o.Revision, Code: o.Code}
		}
	}
	for _, seq := range seqs[:len(seqs)-1] {
		if all() > m.limits.AllOutcomeBytes {
			l.forget(seq)
		}
	}
}

var smallLimits = lease.Limits{
	Leases: 5, KeysPerLease: 4, Window: 6, OutcomeBytes: 40, SessionBytes: 6*overhead + 90, AllOutcomeBytes: 9*overhead + 150,
}

func newTable(t testing.TB, limits lease.Limits) *lease.Table {
	t.Helper()
	table, err := lease.NewTable(limits)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func encode(t testing.TB, im *lease.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := im.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo wrote %d bytes and says %d, %v", b.Len(), n, err)
	}
	return b.Bytes()
}

func decode(t testing.TB, data []byte) *lease.Table {
	t.Helper()
	table, err := lease.Decode(bufio.NewReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// pair is a table and its model, and a twin that never restarts. image is of some moment before.
type pair struct {
	t           *rapid.T
	table, twin *lease.Table
	model       *model
	image       *lease.Image
	imageBytes  []byte
	revision    uint64
}

func (p *pair) same(what string, got, want any) {
	p.t.Helper()
	if !reflect.DeepEqual(got, want) {
		p.t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func (p *pair) sameEnded(what string, got, want []lease.Ended) {
	p.t.Helper()
	if !slices.EqualFunc(got, want, func(a, b lease.Ended) bool {
		return a.ID == b.ID && a.Session == b.Session && slices.Equal(a.Keys, b.Keys)
	}) {
		p.t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

func (p *pair) step() {
	id := rapid.Int64Range(1, 7).Draw(p.t, "id")
	switch rapid.IntRange(0, 11).Draw(p.t, "what") {
	case 0:
		s := logtime.Stamp{Log: p.model.now + logtime.Time(rapid.IntRange(-5, 30).Draw(p.t, "later"))}
		p.model.now = max(p.model.now, s.Log)
		p.table.Advance(s)
		p.twin.Advance(s)
	case 1, 2:
		ttl := rapid.OneOf(rapid.Int64Range(1, 60), rapid.SampledFrom([]int64{-1, 0, lease.MaxTTL, lease.MaxTTL + 1})).Draw(p.t, "ttl")
		isSession := rapid.Bool().Draw(p.t, "session")
		p.same("Grant", p.table.Grant(id, ttl, isSession), p.model.grant(id, ttl, isSession))
		p.twin.Grant(id, ttl, isSession)
	case 3:
		ids := rapid.SliceOfN(rapid.Int64Range(1, 7), 1, 4).Draw(p.t, "ids")
		p.same("KeepAlive", p.table.KeepAlive(ids, nil), p.model.keepAlive(ids))
		p.twin.KeepAlive(ids, nil)
	case 4:
		got, err := p.table.Revoke(id)
		want, wantErr := p.model.revoke(id)
		p.same("Revoke", err, wantErr)
		p.sameEnded("Revoke", []lease.Ended{got}, []lease.Ended{want})
		p.twin.Revoke(id)
	case 5:
		until, budget := p.model.now-logtime.Time(rapid.IntRange(0, 3).Draw(p.t, "before")), rapid.IntRange(0, 5).Draw(p.t, "budget")
		p.sameEnded("Expire", p.table.Expire(until, budget), p.model.expire(until, budget))
		p.twin.Expire(until, budget)
	case 6:
		key := rapid.SampledFrom([]string{"", "a", "b", "ab", "c", "\x00"}).Draw(p.t, "key")
		p.same("Attach", p.table.Attach(id, key), p.model.attach(id, key))
		p.twin.Attach(id, key)
	case 7:
		ids := rapid.SliceOfN(rapid.Int64Range(1, 7), 1, 2).Draw(p.t, "floating")
		p.table.Float(ids)
		p.twin.Float(ids)
		p.model.float(ids)
	case 8:
		p.table.Settle()
		p.twin.Settle()
		p.model.settle()
	case 9:
		key := rapid.SampledFrom([]string{"", "a", "b", "ab", "c", "\x00"}).Draw(p.t, "key")
		p.table.Detach(id, key)
		p.twin.Detach(id, key)
		if l := p.model.leases[id]; l != nil {
			delete(l.keys, key)
		}
	default:
		p.command(id)
	}
}

func (p *pair) command(id int64) {
	a := lease.SessionSeq{ID: id, Seq: rapid.Uint64Range(0, 20).Draw(p.t, "seq")}
	a.Acked = a.Seq - min(a.Seq, rapid.Uint64Range(0, 8).Draw(p.t, "unacked"))
	result := bytes.Repeat([]byte{byte(a.Seq)}, rapid.IntRange(1, 45).Draw(p.t, "size"))
	verdict, o := p.table.Begin(a)
	wantVerdict, want := p.model.begin(a)
	p.same("Begin", verdict, wantVerdict)
	p.same("Begin", o, want)
	p.twin.Begin(a)
	if verdict == lease.Execute {
		p.revision++
		code := rapid.Byte().Draw(p.t, "code")
		p.table.Finish(a, p.revision, code, result)
		p.twin.Finish(a, p.revision, code, result)
		p.model.finish(a, p.revision, code, result)
	}
}

// check compares everything that a table tells.
func (p *pair) check() {
	p.same("Len", p.table.Len(), len(p.model.leases))
	p.same("Leases", append([]int64{}, p.table.Leases()...), append([]int64{}, slices.Sorted(maps.Keys(p.model.leases))...))
	if len(p.model.leases) > 0 && rapid.Bool().Draw(p.t, "due") {
		first := p.model.byExpiry()[0].expiry
		p.same("Due before the first", p.table.Due(first-1), false)
		p.same("Due", p.table.Due(first), first <= p.model.now)
	}
	keys, sessions := 0, 0
	for id := range int64(8) {
		info, found := p.table.Lookup(id)
		l := p.model.leases[id]
		p.same("Lookup", found, l != nil)
		if l == nil {
			continue
		}
		p.same("Lookup", info, lease.Info{
			TTL: l.ttl, Remaining: int64(max(0, p.model.ends(l)-p.model.now)), Session: l.isSession, Keys: len(l.keys),
		})
		p.same("KeysOf", slices.Sorted(maps.Keys(l.keys)), append([]string(nil), p.table.KeysOf(id)...))
		room, _ := p.table.Room(id)
		p.same("Room", room, int(p.model.limits.KeysPerLease)-len(l.keys))
		keys += len(l.keys)
		if l.isSession {
			sessions++
		}
	}
	p.same("Keys", p.table.Keys(), keys)
	p.same("Sessions", p.table.Sessions(), sessions)
	p.same("Hash", p.table.Hash(), p.twin.Hash())
}

func TestTableBehavesLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, _ := lease.NewTable(smallLimits)
		twin, _ := lease.NewTable(smallLimits)
		p := &pair{t: t, table: table, twin: twin, model: &model{limits: smallLimits, leases: map[int64]*modelLease{}}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			p.step()
			p.check()
			switch rapid.IntRange(0, 19).Draw(t, "image") {
			case 0: // a restart
				var b bytes.Buffer
				if _, err := p.table.Image().WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				back, err := lease.Decode(bufio.NewReader(&b))
				if err != nil {
					t.Fatal(err)
				}
				p.table = back
				p.check()
			case 1: // an image must stay as it is
				p.checkImage()
				p.image = p.table.Image()
				p.imageBytes = imageBytes(t, p.image)
				p.same("the twin's image", imageBytes(t, p.twin.Image()), p.imageBytes)
			}
		}
		p.checkImage()
	})
}

func (p *pair) checkImage() {
	if p.image != nil {
		p.same("the image later", imageBytes(p.t, p.image), p.imageBytes)
	}
}

func imageBytes(t *rapid.T, im *lease.Image) []byte {
	var b bytes.Buffer
	if _, err := im.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
