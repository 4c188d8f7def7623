package rsmtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"sync"
	"testing"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
)

// Endpoint is a Transport of one member of a network.
type Endpoint struct {
	rsm.Transport
	// Start has what arrives delivered to r. It is called once, before any Send.
	Start func(r rsm.Receiver)
	// Close ends the endpoint. When it returns nothing is delivered any more.
	Close func()
	// Resumes says that it resumes a stream that broke off: see rsm.ResumingReceiver.
	Resumes bool
}

// MakeNetwork returns endpoints of these members, each of which can reach the others.
type MakeNetwork func(t testing.TB, ids ...raft.NodeID) map[raft.NodeID]Endpoint

// transportChecks are the rules that rsm.Transport lists.
var transportChecks = []struct {
	name  string
	check func(*network)
}{
	{"EachMessageArrivesAsItWas", (*network).everyMessage},
	{"TheSliceIsTheCallersAfterSend", (*network).sliceIsReused},
	{"ALargeOperationArrives", (*network).largeOperation},
	{"SendDoesNotWaitForAMemberThatIsGone", (*network).sendToNobody},
	{"ASnapshotArrivesWhole", (*network).snapshot},
	{"AStreamGoesOnWhereItBrokeOffOrBeginsAnew", (*network).snapshotResumed},
	{"ASnapshotThatIsNotStoredIsAnError", (*network).snapshotRefused},
	{"ASnapshotWhoseSourceFailsIsNotStored", (*network).snapshotBroken},
	{"ASnapshotEndsWithItsContext", (*network).snapshotCancelled},
	{"MessagesGoBesideASnapshot", (*network).messagesBesideSnapshot},
	{"SnapshotsGoToSeveralMembersAtOnce", (*network).severalSnapshots},
	{"AFileArrivesWhole", (*network).file},
	{"AFileThatCannotBeReadBreaksOff", (*network).fileBroken},
	{"AFileThatIsNotThereDoesNotExist", (*network).fileMissing},
	{"AMemberThatServesNoFilesIsAnError", (*network).noFiles},
	{"ANameThatIsTooLongIsRefused", (*network).longName},
	{"AFetchEndsWithItsContext", (*network).fetchCancelled},
	{"AFetchThatIsClosedLetsGoOfTheFile", (*network).fetchClosed},
	{"TwoFetchesGoAtOnce", (*network).twoFetches},
	{"MessagesGoBesideAFetch", (*network).messagesBesideFetch},
}

// TestTransport checks that what newNetwork makes are rsm.Transports. Each check is a subtest.
// Messages may get lost, so they are sent until they arrive.
func TestTransport(t *testing.T, newNetwork MakeNetwork) {
	for _, c := range transportChecks {
		t.Run(c.name, func(t *testing.T) {
			n := &network{T: t, ends: newNetwork(t, 1, 2, 3), at: map[raft.NodeID]*receiver{}}
			for id, e := range n.ends {
				n.at[id] = &receiver{arrived: make(chan raft.Message, 1024), store: io.ReadAll}
				if id == 3 {
					e.Start(plainReceiver{n.at[id]})
				} else {
					e.Start(n.at[id])
				}
			}
			defer func() {
				for _, e := range n.ends {
					e.Close()
				}
			}()
			c.check(n)
		})
	}
}

// network is a network under test.
type network struct {
	*testing.T
	ends map[raft.NodeID]Endpoint
	at   map[raft.NodeID]*receiver
}

// receiver notes what arrives.
type receiver struct {
	arrived chan raft.Message

	mu     sync.Mutex
	store  func(io.Reader) ([]byte, error) // what becomes of a snapshot
	stored []byte
	meta   raft.SnapshotMeta
	offset uint64 // where in its stream stored begins
	// part is a stream of which partBytes are there already.
	part      uint64
	partBytes int64
	// files are what OpenFile opens, by name.
	files map[string]func(offset int64) (io.ReadCloser, error)
}

// plainReceiver has only the methods that an rsm.Receiver must have.
type plainReceiver struct{ rsm.Receiver }

// SnapshotOffset makes it an rsm.ResumingReceiver.
func (r *receiver) SnapshotOffset(m *raft.InstallSnapshot) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Stream == r.part {
		return r.partBytes
	}
	return 0
}

func (r *receiver) Receive(m raft.Message) {
	select {
	case r.arrived <- m:
	default:
	}
}

func (r *receiver) ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error {
	r.mu.Lock()
	store := r.store
	r.mu.Unlock()
	b, err := store(data)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored, r.meta, r.offset = b, m.Meta, m.Offset
	return nil
}

func (r *receiver) keeps(store func(io.Reader) ([]byte, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store = store
}

func (r *receiver) snapshot() ([]byte, raft.SnapshotMeta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stored, r.meta
}

// send sends m until it arrives, and returns what did.
func (n *network) send(m raft.Message) raft.Message {
	n.Helper()
	from, to := n.ends[m.Head().From], n.at[m.Head().To]
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for end := time.After(patience); ; {
		from.Send([]raft.Message{m})
		select {
		case got := <-to.arrived:
			if got.Kind() == m.Kind() {
				return got
			}
		case <-again.C:
		case <-end:
			n.Fatalf("%s does not arrive", m.Kind())
		}
	}
}

// messages are one of each kind, with all fields set.
func messages() []raft.Message {
	h := raft.Header{From: 1, To: 2, Term: 1 << 40}
	var all []raft.Message
	for _, m := range []raft.Message{
		&raft.PreVote{}, &raft.PreVoteReply{}, &raft.RequestVote{}, &raft.RequestVoteReply{},
		&raft.AppendEntries{}, &raft.AppendEntriesReply{}, &raft.AppendEntriesReject{},
		&raft.TimeoutNow{}, &raft.ReadIndex{}, &raft.ReadIndexReply{},
		&raft.LogLost{}, &raft.StateHash{}, &raft.Propose{}, &raft.ProposeReply{},
	} {
		n := uint64(1)
		fill(reflect.ValueOf(m).Elem(), &n)
		*m.Head() = h
		all = append(all, m)
	}
	return all
}

// fill sets all fields of a struct, each number to another value.
func fill(v reflect.Value, n *uint64) {
	*n = *n*3 + 1
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(*n % 2)
	case reflect.Uint64:
		v.SetUint(*n)
	case reflect.Int64:
		v.SetInt(int64(*n))
	default:
		panic("rsmtest: a message has a field of type " + v.Type().String())
	}
}

func (n *network) everyMessage() {
	for _, m := range messages() {
		if entries, ok := m.(*raft.AppendEntries); ok {
			for i := range entries.Entries { // as they follow each other in a log
				entries.Entries[i].Index, entries.Entries[i].Term = entries.PrevIndex+1+raft.Index(i), 7
			}
		}
		if got := n.send(m); !reflect.DeepEqual(got, m) {
			n.Errorf("%s arrives as %s", m, got)
		}
	}
	for _, id := range []raft.NodeID{1, 3} {
		select {
		case m := <-n.at[id].arrived:
			n.Errorf("%s arrives at %s", m, id)
		default:
		}
	}
}

// sliceIsReused: the caller overwrites the slice as soon as Send has returned.
func (n *network) sliceIsReused() {
	n.connect()
	ms := make([]raft.Message, 1)
	for term := range raft.Term(1000) {
		ms[0] = &raft.ReadIndex{Header: raft.Header{From: 1, To: 2, Term: term + 1}}
		n.ends[1].Send(ms)
		ms[0] = &raft.TimeoutNow{Header: raft.Header{From: 1, To: 2, Term: 1}}
	}
	last := &raft.ReadIndexReply{Header: raft.Header{From: 1, To: 2, Term: 1}}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for end := time.After(patience); ; {
		select {
		case m := <-n.at[2].arrived:
			if m.Kind() == raft.KindTimeoutNow {
				n.Fatal("a message arrives that was put into the slice after Send")
			}
			if m.Kind() == last.Kind() {
				return
			}
		case <-again.C:
			n.ends[1].Send([]raft.Message{last})
		case <-end:
			n.Fatal("messages do not arrive")
		}
	}
}

func (n *network) largeOperation() {
	data := bytes.Repeat([]byte("12345678"), rsm.MaxOpBytesLimit/8)
	m := &raft.AppendEntries{
		Header:  raft.Header{From: 1, To: 3, Term: 1},
		Entries: []raft.Entry{{Term: 1, Index: 1, Kind: raft.EntryCommand, Data: data}},
	}
	got, ok := n.send(m).(*raft.AppendEntries)
	if !ok || len(got.Entries) != 1 || !bytes.Equal(got.Entries[0].Data, data) {
		n.Error("an operation of MaxOpBytesLimit does not arrive as it was")
	}
}

// sendToNobody: what cannot go is dropped, whatever it comes to.
func (n *network) sendToNobody() {
	n.ends[2].Close()
	n.ends[2] = Endpoint{Close: func() {}}
	m := &raft.AppendEntries{
		Header:  raft.Header{From: 1, To: 2, Term: 1},
		Entries: []raft.Entry{{Term: 1, Index: 1, Data: make([]byte, 64<<10)}},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 4096 { // 256 MiB
			n.ends[1].Send([]raft.Message{m, &raft.ReadIndex{Header: raft.Header{From: 1, To: 99, Term: 1}}})
		}
	}()
	select {
	case <-done:
	case <-time.After(patience):
		n.Fatal("Send waits for a member that is gone")
	}
	n.send(&raft.ReadIndex{Header: raft.Header{From: 1, To: 3, Term: 1}}) // the others hear on
}

func offer(index raft.Index) *raft.InstallSnapshot {
	return &raft.InstallSnapshot{
		Header: raft.Header{From: 1, To: 2, Term: 5},
		Meta:   raft.SnapshotMeta{Index: index, Term: 4, Configuration: manyMembers()},
	}
}

// connect waits until the two members of offer are connected.
func (n *network) connect() {
	n.Helper()
	n.send(&raft.ReadIndex{Header: raft.Header{From: 1, To: 2, Term: 1}})
}

// stream sends a snapshot.
func (n *network) stream(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error {
	n.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := n.ends[1].SendSnapshot(ctx, m, data)
	if errors.Is(err, context.DeadlineExceeded) {
		n.Error("SendSnapshot does not end")
	}
	return err
}

func (n *network) snapshot() {
	n.connect()
	for i, size := range []int{0, 1, 5 << 20} {
		data := bytes.Repeat([]byte{byte(i), 2, 3, 4, 5}, size/5+min(size, 1))
		m := offer(raft.Index(10 + i))
		if err := n.stream(context.Background(), m, bytes.NewReader(data)); err != nil {
			n.Fatalf("SendSnapshot of %d bytes: %v", len(data), err)
		}
		got, meta := n.at[2].snapshot()
		if !bytes.Equal(got, data) || meta.Index != m.Meta.Index || meta.Term != 4 || !meta.Configuration.Equal(m.Meta.Configuration) {
			n.Errorf("%d bytes of %s of %v arrive, want %d of %s", len(got), meta, meta.Configuration, len(data), m.Meta)
		}
	}
}

// snapshotResumed sends streams to a receiver that has a part of one. A Transport need not
// resume it, unless it says that it does, and must not mistake one stream for another.
func (n *network) snapshotResumed() {
	n.connect()
	data, r := []byte("what a follower lacks"), n.at[2]
	r.mu.Lock()
	r.part, r.partBytes = 7, 5
	r.mu.Unlock()
	for i, stream := range []uint64{7, 8} {
		most := []uint64{5, 0}[i]
		m := offer(raft.Index(10 + i))
		m.Stream = stream
		if err := n.stream(context.Background(), m, bytes.NewReader(data)); err != nil {
			n.Fatalf("SendSnapshot of stream %d: %v", stream, err)
		}
		r.mu.Lock()
		if most > 0 && n.ends[1].Resumes != (r.offset == most) {
			n.Errorf("a Transport that resumes: %t; it begins at %d", n.ends[1].Resumes, r.offset)
		}
		if r.offset != 0 && r.offset != most || string(r.stored) != string(data[r.offset:]) {
			n.Errorf("of stream %d arrives %q as what begins at %d", stream, r.stored, r.offset)
		}
		r.mu.Unlock()
		if m.Offset != 0 {
			n.Error("SendSnapshot changes the message of its caller")
		}
	}
}

func (n *network) snapshotRefused() {
	n.connect()
	n.at[2].keeps(func(r io.Reader) ([]byte, error) { return nil, errors.New("no room") })
	if err := n.stream(context.Background(), offer(10), bytes.NewReader(make([]byte, 1<<20))); err == nil {
		n.Error("SendSnapshot returns nil, and the receiver has not stored it")
	}
	n.at[2].keeps(io.ReadAll)
	if err := n.stream(context.Background(), offer(11), bytes.NewReader(make([]byte, 1<<20))); err != nil {
		n.Errorf("the next one: %v", err)
	}
}

// brokenReader fails after some bytes.
type brokenReader struct {
	io.Reader
	err error
}

func (r brokenReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

func (n *network) snapshotBroken() {
	n.connect()
	// The second one is an error that readers of files give, and io.ReadFull too, at an end.
	for _, broken := range []error{errors.New("cannot read it"), io.ErrUnexpectedEOF} {
		half := brokenReader{bytes.NewReader(make([]byte, 1<<20)), broken}
		if err := n.stream(context.Background(), offer(10), half); err == nil {
			n.Errorf("SendSnapshot returns nil, and its source has failed with %q", broken)
		}
		if got, meta := n.at[2].snapshot(); meta.Index != 0 {
			n.Errorf("%d bytes of a snapshot that broke off with %q are taken for all of it", len(got), broken)
		}
	}
}

// holds lets the receiver of a snapshot take all of it, and store nothing before the result
// is called. Begun is closed when it has arrived.
func (n *network) holds(id raft.NodeID) (begun chan struct{}, release func()) {
	begun = make(chan struct{})
	released := make(chan struct{})
	n.at[id].keeps(func(r io.Reader) ([]byte, error) {
		b, err := io.ReadAll(r)
		close(begun)
		<-released
		return b, err
	})
	return begun, func() { close(released) }
}

func (n *network) snapshotCancelled() {
	n.connect()
	ctx, cancel := context.WithCancel(context.Background())
	begun, release := n.holds(2)
	defer release()
	go func() { <-begun; cancel() }()
	if err := n.stream(ctx, offer(10), bytes.NewReader(make([]byte, 1<<20))); err == nil {
		n.Error("SendSnapshot returns nil after its context has ended")
	}
}

// messagesBesideSnapshot: a snapshot takes minutes, and heartbeats may not wait for it.
func (n *network) messagesBesideSnapshot() {
	n.connect()
	begun, release := n.holds(2)
	done := make(chan error, 1)
	go func() { done <- n.stream(context.Background(), offer(10), bytes.NewReader(make([]byte, 1<<20))) }()
	<-begun
	for term := range raft.Term(20) {
		n.send(&raft.ReadIndexReply{Header: raft.Header{From: 1, To: 2, Term: term + 1}})
		n.send(&raft.ReadIndexReply{Header: raft.Header{From: 2, To: 1, Term: term + 1}})
	}
	release()
	if err := <-done; err != nil {
		n.Errorf("SendSnapshot: %v", err)
	}
}

// severalSnapshots: a leader may have to send one to each of the others.
func (n *network) severalSnapshots() {
	n.connect()
	n.send(&raft.ReadIndex{Header: raft.Header{From: 1, To: 3, Term: 1}})
	done := make(chan error, 2)
	for _, id := range []raft.NodeID{2, 3} {
		m := offer(10)
		m.To = id
		begun, release := n.holds(id)
		defer release()
		go func() { done <- n.stream(context.Background(), m, bytes.NewReader(make([]byte, 1<<20))) }()
		select {
		case <-begun:
		case err := <-done:
			n.Fatalf("SendSnapshot to %s: %v", id, err)
		case <-time.After(patience):
			n.Fatalf("a snapshot to %s waits for one to another member", id)
		}
	}
}
