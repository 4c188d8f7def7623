package state_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/naive"
	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
	"balsa.example/state/auth"
	"balsa.example/state/lease"
	"balsa.example/state/logtime"

	"pgregory.net/rapid"
)

// script drives a Machine and the naive one with the same commands, which it draws.
type script struct {
	t     *rapid.T
	fs    *crashfs.Mem
	m     *state.Machine
	truth *naive.Machine
	log   []state.Command // since the last durable checkpoint
	index raft.Index
	saved raft.Index
	clock int64
	seqs  map[int64]uint64
	// limits let sessions keep no more than the code of a transaction, in some scripts.
	limits lease.Limits

	watches watches
}

var scriptLimits = naive.Limits{TickBudget: 1000, LeaseKeys: 100_000, Window: 1024}

func newScript(t *rapid.T) *script {
	s := &script{t: t, fs: crashfs.NewCrashableMem(), truth: naive.New(scriptLimits), seqs: map[int64]uint64{}}
	s.watches.s = s
	if s.limits = lease.DefaultLimits(); s.flag("short outcomes") {
		s.limits.OutcomeBytes = 20
	}
	s.m = s.machine(s.fs, 1, nil)
	return s
}

func (s *script) machine(fs *crashfs.Mem, id raft.NodeID, from *state.Machine) *state.Machine {
	hub, history := s.watches.publisher()
	m := state.New(state.Config{
		FS: fs, Dir: "state", Cluster: 7, ID: id, RunBytes: 2 << 10, CacheBytes: -1, Publisher: hub, Limits: s.limits,
	})
	history.Machine = m
	m.UseFetcher(fetcher{from})
	position, _, err := m.Open()
	if err != nil {
		s.t.Fatal(err)
	}
	if position.Index != s.saved && from == nil {
		s.t.Fatalf("opened at %d, the last durable checkpoint is at %d", position.Index, s.saved)
	}
	s.watches.resume()
	return m
}

// fetcher fetches from one other machine.
type fetcher struct{ from *state.Machine }

func (f fetcher) Fetch(_ context.Context, _ raft.NodeID, name []byte, offset int64) (io.ReadCloser, error) {
	if f.from == nil {
		return nil, errors.New("nobody to fetch from")
	}
	return f.from.OpenFile(name, offset)
}

func (s *script) number(name string, most int) int { return rapid.IntRange(0, most).Draw(s.t, name) }
func (s *script) flag(name string) bool            { return rapid.Bool().Draw(s.t, name) }
func (s *script) key() string                      { return fmt.Sprint("k", s.number("key", 11)) }

func (s *script) value() []byte {
	return []byte(fmt.Sprintf("%0*d", s.number("value bytes", 60)+1, s.index))
}

func (s *script) span() kv.Span {
	switch s.number("span", 5) {
	case 0:
		return kv.Span{}
	case 1:
		return kv.Prefix("k1")
	case 2:
		return kv.FromKey(s.key())
	case 3:
		return kv.Span{From: s.key(), To: s.key()}
	}
	return kv.Single(s.key())
}

// revision draws one near the present one, 0 for none.
func (s *script) revision() uint64 {
	back := s.number("back", 40)
	if back == 0 || uint64(back) > s.truth.Revision() {
		return 0
	}
	return s.truth.Revision() + 2 - uint64(back)
}

func (s *script) rangeOp() *kv.RangeOp {
	op := &kv.RangeOp{Span: s.span()}
	if s.flag("at a revision") {
		op.Revision = s.revision()
	}
	if s.flag("limit") {
		if op.Limit = int64(s.number("limit", 4)); op.Limit == 4 {
			op.Limit = math.MaxInt64
		}
	}
	if s.flag("bytes") {
		op.MaxBytes = int64(s.number("bytes", 150))
	}
	if s.flag("order") {
		op.Sort, op.Descend, op.LimitFirst = kv.Sort(s.number("sort", 4)), s.flag("descend"), s.flag("limit first")
	}
	if s.flag("bounds") {
		op.MinMod, op.MaxMod, op.MinCreate, op.MaxCreate = s.revision(), s.revision(), s.revision(), s.revision()
	}
	op.KeysOnly, op.CountOnly = s.number("keys only", 4) == 0, s.number("count only", 4) == 0
	return op
}

func (s *script) txn(depth int) *kv.Txn {
	t := new(kv.Txn)
	for range s.number("compares", 2) {
		t.If = append(t.If, kv.Compare{
			Span: s.span(), Target: kv.Target(s.number("target", 4)), Relation: kv.Relation(s.number("relation", 3)),
			Number: uint64(s.number("number", 4)), Value: s.value(),
		})
	}
	for _, ops := range []*[]kv.TxnOp{&t.Then, &t.Else} {
		for range s.number("ops", 3) {
			*ops = append(*ops, s.txnOp(depth))
		}
	}
	return t
}

func (s *script) txnOp(depth int) kv.TxnOp {
	switch n := s.number("op", 9); {
	case n == 0 && depth > 0:
		return kv.TxnOp{Txn: s.txn(depth - 1)}
	case n < 3:
		return kv.TxnOp{Range: s.rangeOp()}
	case n < 5:
		return kv.TxnOp{Delete: &kv.DeleteOp{Span: s.span(), Prev: s.flag("prev")}}
	}
	put := &kv.PutOp{Key: s.key(), Prev: s.flag("prev")}
	if put.IgnoreValue = s.number("ignore value", 5) == 0; !put.IgnoreValue {
		put.Value = s.value()
	}
	if put.IgnoreLease = s.number("ignore lease", 5) == 0; !put.IgnoreLease && s.flag("leased") {
		put.Lease = int64(s.number("lease", 4))
	}
	return kv.TxnOp{Put: put}
}

func (s *script) command() state.Command {
	m := &state.More{}
	if s.number("session", 3) == 0 {
		id := int64(s.number("session id", 3) + 1)
		seq := s.seqs[id] + 1 - uint64(s.number("resend", 2))
		m.Session = state.SessionSeq{ID: id, Seq: max(seq, 1), Acked: max(seq, 3) - 3}
		s.seqs[id] = max(seq, s.seqs[id])
	}
	s.user(m)
	switch s.number("command", 18) {
	case 0, 1, 2, 3:
		m.Kind = state.KindOp
		c := state.Command{Op: kv.Op{
			Kind: kv.OpKind(s.number("kind", 2) + 1), Key: s.key(), Value: s.value(), Version: uint64(s.number("version", 3)),
			Unconditional: s.flag("unconditional"), UnchangedSince: s.revision(), Attempt: kv.Attempt(s.number("attempt", 2)),
		}}
		if m.Session.ID != 0 || m.User != "" {
			c.More = m
		}
		return c
	case 4, 5, 6, 7:
		m.Kind, m.Txn = state.KindTxn, s.txn(2)
	case 8:
		m.Kind, m.Revision = state.KindCompact, s.revision()
	case 9:
		m.Kind, m.Lease, m.TTL, m.IsSession = state.KindGrant, int64(s.number("lease", 4)), int64(s.number("ttl", 30))-1, s.flag("session")
	case 10:
		m.Kind, m.Lease = state.KindRevoke, int64(s.number("lease", 4))
	case 11, 12:
		m.Kind = state.KindTick
		for range s.number("keep-alives", 2) {
			m.Leases = append(m.Leases, int64(s.number("lease", 4)))
		}
	case 13:
		m.Kind, m.Quota = state.KindQuota, 150*max(0, int64(s.number("quota", 8))-3)
	case 14, 15:
		if s.m.ClusterVersion() < state.Version { // no member proposes an alarm yet
			m.Kind, m.Version = state.KindVersion, uint64(s.number("cluster version", state.Version))
		} else {
			m.Kind, m.Alarm = state.KindAlarm, s.alarm()
		}
	default:
		m.Kind, m.Auth = state.KindAuth, s.change()
	}
	if m.Kind >= state.KindGrant && m.Kind <= state.KindTick && s.number("stamped", 3) > 0 {
		s.clock += int64(s.number("time", 8))
		m.Stamp = logtime.Stamp{Log: logtime.Time(s.clock), Wall: s.clock}
	}
	return state.Command{More: m}
}

// alarm lifts more often than it raises, so that not too much is refused.
func (s *script) alarm() state.AlarmChange {
	return state.AlarmChange{
		Alarm: state.Alarm{Member: uint64(s.number("alarm of", 1)), Kind: state.AlarmKind(s.number("alarm", 3))}, Lift: s.number("lift", 3) > 0,
	}
}

// user names a user, if users count most often one whose token is good.
func (s *script) user(m *state.More) {
	users, _ := s.m.Auth()
	if !users.Enabled() && s.number("user while there is none", 5) > 0 {
		return
	}
	if m.User = s.name("user"); m.User == "" {
		return
	}
	switch s.number("stamp", 3) {
	case 0:
		m.UserStamp = uint64(s.number("old stamp", int(users.Revision())))
	case 1:
		if u := users.User(m.User); u != nil {
			m.UserStamp = u.Stamp
		}
	default:
		m.UserStamp = auth.ByCertificate
	}
	m.Internal = s.number("internal", 20) == 0
}

func (s *script) name(what string) string {
	return []string{"root", "a", "root", "b", "a", ""}[s.number(what, 5)]
}

// change draws a change of users and roles. Users and roles have the same few names.
func (s *script) change() *auth.Change {
	if users, _ := s.m.Auth(); users.User("root") == nil && s.flag("root first") {
		return &auth.Change{Kind: auth.UserAdd, User: "root"}
	} else if !users.Enabled() && s.flag("enable") {
		if root := users.User("root"); root != nil && !root.Root() {
			return &auth.Change{Kind: auth.UserGrant, User: "root", Role: "root"}
		}
		return &auth.Change{Kind: auth.Enable, Secret: []byte("secret")}
	}
	c := &auth.Change{Kind: auth.ChangeKind(s.number("change", 12)), User: s.name("changed user"), Role: s.name("changed role")}
	if c.Kind == auth.Disable && s.number("disable", 3) > 0 {
		c.Kind = auth.RoleGrant
	}
	c.Hash, c.NoPassword = []byte(fmt.Sprint("hash", s.index)), s.number("no password", 3) == 0
	if c.Kind == auth.Enable {
		c.Secret = []byte("secret")
	}
	if c.Kind == auth.RoleGrant || c.Kind == auth.RoleRevoke {
		c.Permission = s.permission()
	}
	return c
}

func (s *script) permission() auth.Permission {
	p := auth.Permission{Access: auth.Access(s.number("access", 2)), Key: s.key()}
	switch s.number("end", 4) {
	case 0:
		p.End = "\x00"
	case 1, 2:
		p.End = s.key()
	}
	return p
}

// do executes a command on both, after it went through its byte form.
func (s *script) do(c state.Command) {
	b := state.Codec{}.Append(nil, c)
	decoded, err := state.Codec{}.Decode(b)
	if err != nil {
		s.t.Fatal(err)
	}
	want := s.truth.DoOp(c)
	got := s.m.DoOp(decoded)
	if got.Replayed && got.Kept != want.Kept && (got.Kept == state.KeptRevision || got.Kept == state.KeptCode && s.limits == lease.DefaultLimits()) {
		s.t.Fatalf("%s: the session has kept too little: %s", naive.Text(c), naive.Text(got))
	}
	if err := s.m.Failed(); err != nil {
		s.t.Fatal(err)
	}
	if d := naive.Differ(got, want); d != "" {
		s.t.Fatalf("%s: %s", naive.Text(c), d)
	}
	s.sameUsers()
	s.sameAlarms()
	s.log = append(s.log, decoded)
	s.index++
}

func (s *script) sameUsers() {
	users, _ := s.m.Auth()
	if d := s.truth.DifferUsers(users); d != "" {
		s.t.Fatal(d)
	}
}

// sameAlarms compares the alarms. Whether the store is at its quota is part of the state from version 3 on.
func (s *script) sameAlarms() {
	raised, atQuota := s.truth.Alarms()
	got := s.m.Alarms()
	same := len(got) == len(raised)
	for _, a := range got {
		same = same && raised[a]
	}
	if !same {
		s.t.Fatalf("alarms %v, want %v", got, raised)
	}
	if at := s.m.Figures().AtQuota(); at != atQuota && s.m.ClusterVersion() >= 3 {
		s.t.Fatalf("at its quota: %t, want %t", at, atQuota)
	}
}

// read compares a range that is not in the log.
func (s *script) read() {
	op := s.rangeOp()
	got, err := s.m.Range(*op)
	want, code := s.truth.Range(*op)
	if gotCode, _ := kv.CodeOf(err); gotCode != code {
		s.t.Fatalf("%s: %v, want %v", naive.Text(op), err, code)
	}
	if d := naive.DifferRange(got, want); code == kv.CodeOK && d != "" {
		s.t.Fatalf("%s: %s", naive.Text(op), d)
	}
}

// scan compares the history from a revision on, and what keys held before its events.
func (s *script) scan() {
	from, upTo := max(s.revision(), 2), s.truth.Revision()
	next := from
	err := s.m.Scan(from, func(revision uint64, events []kv.Event) bool {
		if revision != next {
			s.t.Fatalf("revision %d is scanned, want %d", revision, next)
		}
		next++
		want := slices.Clone(s.truth.Events(revision))
		for i := range want {
			prev, err := s.m.Previous(want[i].Key, revision)
			if err != nil {
				s.t.Fatalf("before %s: %v", naive.Text(want[i]), err)
			}
			got := want[i]
			got.Prev = prev
			if d := naive.DifferEvents([]kv.Event{got}, want[i:i+1]); d != "" {
				s.t.Fatalf("what was before revision %d: %s", revision, d)
			}
			want[i].Prev = nil
		}
		if d := naive.DifferEvents(events, want); d != "" {
			s.t.Fatalf("revision %d: %s", revision, d)
		}
		return true
	})
	switch compacted := from < s.truth.Compacted(); {
	case compacted != errors.Is(err, kv.ErrCompacted):
		s.t.Fatalf("from %d, compacted at %d: %v", from, s.truth.Compacted(), err)
	case !compacted && (err != nil || next != max(from, upTo+1)):
		s.t.Fatalf("from %d up to %d, want up to %d: %v", from, next-1, upTo, err)
	}
}

func (s *script) checkpoint() {
	if s.index == 0 {
		return
	}
	if _, err := s.m.Checkpoint(raft.SnapshotMeta{Index: s.index, Term: 1})(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	s.saved, s.log = s.index, nil
}

func (s *script) maintain() {
	for more := true; more; {
		var err error
		if more, err = s.m.Maintain(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// crash opens what is left after a crash, and executes the log behind it.
func (s *script) crash() {
	hash := s.m.Hash()
	s.fs = s.fs.CrashClone(crashfs.Crash{})
	checkDir(s.t, s.fs)
	s.m = s.machine(s.fs, 1, nil)
	for _, c := range s.log {
		s.m.DoOp(c)
	}
	if got := s.m.Hash(); got != hash {
		s.t.Fatalf("hash %x after a crash and the log, was %x", got, hash)
	}
}

// transfer lets another machine take the durable state of this one, and goes on with that.
func (s *script) transfer() {
	if s.saved == 0 {
		return
	}
	stream, err := s.m.OpenState()
	if err != nil {
		s.t.Fatal(err)
	}
	s.maintain() // the files that the stream needs stay
	fs := crashfs.NewCrashableMem()
	to := s.machine(fs, 2, s.m)
	if err := to.ReceiveState(context.Background(), stream.Position, 0, 0, stream.Data); err != nil {
		s.t.Fatal(err)
	}
	if err := stream.Data.Close(); err != nil {
		s.t.Fatal(err)
	}
	if s.flag("crash before install") {
		fs = fs.CrashClone(crashfs.Crash{})
		to = s.machine(fs, 2, s.m)
	} else if _, err := to.InstallState(stream.Position); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range s.log {
		to.DoOp(c)
	}
	if got, want := to.Hash(), s.m.Hash(); got != want {
		s.t.Fatalf("hash %x after a transfer and the log, want %x", got, want)
	}
	s.m, s.fs = to, fs
}

func TestMachineIsTheNaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript(t)
		for range s.number("steps", 150) {
			switch s.number("step", 15) {
			case 0:
				s.checkpoint()
			case 1:
				s.maintain()
			case 2:
				s.crash()
			case 3:
				s.transfer()
			case 4, 5:
				s.read()
			case 6:
				s.scan()
			default:
				s.do(s.command())
			}
		}
	})
}

// TestRightsAreTheNaiveOnes has authentication on from the start, and two users with a few
// permissions.
func TestRightsAreTheNaiveOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript(t)
		s.populate()
		for range 120 {
			switch s.number("step", 20) {
			case 0:
				s.checkpoint()
			case 1:
				s.crash()
			case 2:
				s.transfer()
			case 3, 4:
				s.do(s.as("root", state.More{Kind: state.KindAuth, Auth: s.change()}))
			case 5, 6:
				s.do(s.as("root", state.More{Kind: state.KindGrant, Lease: int64(s.number("lease", 3) + 1), TTL: 1e9}))
			case 7, 8:
				s.do(s.as("a", state.More{Kind: state.KindRevoke, Lease: int64(s.number("lease", 3) + 1)}))
			case 9, 10:
				s.do(s.as("root", state.More{Kind: state.KindTxn, Txn: s.txn(0)}))
			default:
				s.do(s.as("b", state.More{Kind: state.KindTxn, Txn: s.txn(2)}))
			}
		}
	})
}

// populate adds users and roles, and switches authentication on.
func (s *script) populate() {
	for _, c := range []auth.Change{
		{Kind: auth.UserAdd, User: "root"}, {Kind: auth.UserGrant, User: "root", Role: "root"},
		{Kind: auth.UserAdd, User: "a"}, {Kind: auth.RoleAdd, Role: "a"}, {Kind: auth.UserGrant, User: "a", Role: "a"},
		{Kind: auth.UserAdd, User: "b"}, {Kind: auth.RoleAdd, Role: "b"}, {Kind: auth.UserGrant, User: "b", Role: "b"},
		{Kind: auth.UserGrant, User: "b", Role: "a"}, {Kind: auth.Enable, Secret: []byte("secret")},
	} {
		s.do(state.Command{More: &state.More{Kind: state.KindAuth, Auth: &c}})
	}
	for range 8 {
		c := &auth.Change{Kind: auth.RoleGrant, Role: []string{"a", "b"}[s.number("role", 1)], Permission: s.permission()}
		s.do(s.as("root", state.More{Kind: state.KindAuth, Auth: c}))
	}
}

func (s *script) as(user string, m state.More) state.Command {
	m.User, m.UserStamp = user, auth.ByCertificate
	return state.Command{More: &m}
}
