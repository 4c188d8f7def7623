package member

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"balsa.example/internal/certs"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/transport"
)

// request is what members ask each other, and servers that want to join ask members: one of the
// fields. Fields that are not known are ignored.
type request struct {
	Change *roster.Change `json:",omitempty"`
	List   *listRequest   `json:",omitempty"`
	// Move names the member that is to lead. Question is for Config.Answer.
	Move     raft.NodeID `json:",omitempty"`
	Question []byte      `json:",omitempty"`
	// Weigh is a change that is not to be made: what it would do is answered. It is no flag beside
	// Change, since a member of an older version would not know the flag, and make the change.
	Weigh *roster.Change `json:",omitempty"`
	Ready *readyRequest  `json:",omitempty"`
	// Relayed: the member that is asked must not ask another one.
	Relayed bool `json:",omitempty"`
	// Leaderless: who asks knows no leader. The member that is asked may ask the one that it knows.
	Leaderless bool `json:",omitempty"`
	// From is what a server says of itself that has no id.
	From *roster.About `json:",omitempty"`
}

// listRequest asks who the members are.
type listRequest struct {
	// Leader: the leader is to answer, which knows how far each of them is.
	Leader bool
}

// answer is what a request gets.
type answer struct {
	Cluster, Group uint64
	Token          string
	Member         roster.Member // of a Change
	Members        []Info
	Outlook        *Outlook `json:",omitempty"` // of a Change to Weigh
	Text           []byte   `json:",omitempty"` // of a Question
}

// changeRetry is how long a change waits before it is tried again.
const changeRetry = 50 * time.Millisecond

// change makes a change of the members, by way of the leader, whichever member that is.
func (m *Member) change(ctx context.Context, c roster.Change) (answer, error) {
	patience, cancel := answersInTime(ctx)
	defer cancel()
	for {
		a, err := m.ask(ctx, request{Change: &c})
		if !errors.Is(err, errNotLeader) && !errors.Is(err, errSoon) {
			return a, err
		}
		if !pause(patience, m.ctx, changeRetry) {
			return a, fmt.Errorf("%w: %w", ErrNoLeader, err)
		}
	}
}

// answerTime is how long an answer may take to whoever waits for it.
const answerTime = 250 * time.Millisecond

// answersInTime ends so long before ctx that who waits until then is still told that nothing was done:
// it would not know otherwise.
func answersInTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(answerTime, time.Until(deadline)/4)))
}

// pause waits, and returns false if one of the contexts has ended.
func pause(a, b context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return a.Err() == nil && b.Err() == nil
	case <-a.Done():
	case <-b.Done():
	}
	return false
}

// ask lets the leader answer: this member, or another one by a call.
func (m *Member) ask(ctx context.Context, q request) (answer, error) {
	r := m.replica.Load()
	if r == nil {
		return answer{}, fmt.Errorf("%w: the replica of %s has not started", errNotLeader, m.cfg.Name)
	}
	replica := *r
	if replica.Leads() {
		return m.lead(ctx, replica, q)
	}
	leader := replica.Leader()
	switch {
	case leader == raft.None || leader == m.ID():
		err := fmt.Errorf("%w: no leader is known", errNotLeader)
		if q.Relayed || q.Leaderless {
			return answer{}, err
		}
		return m.askOthers(ctx, q, err)
	case q.Relayed:
		return answer{}, fmt.Errorf("%w, but %s", errNotLeader, m.cfg.Cluster.NameOf(leader))
	}
	if p, ok := m.transport.Load().Peer(leader); ok && p.Connected && p.MinorVersion < rosterMinor {
		return answer{}, fmt.Errorf("%w: %s", ErrOlder, m.names([]raft.NodeID{leader}))
	}
	q.Relayed = true
	return m.call(ctx, leader, q)
}

// askOthers lets any member ask the leader. A server that was started at another address reaches the
// others, and hears from no leader until it has told them where it is.
func (m *Member) askOthers(ctx context.Context, q request, err error) (a answer, _ error) {
	q.Leaderless = true
	for _, p := range m.transport.Load().Peers() {
		if a, err = m.call(ctx, p.ID, q); !errors.Is(err, errNotLeader) {
			return a, err
		}
	}
	return a, err
}

// call asks another member.
func (m *Member) call(ctx context.Context, id raft.NodeID, q request) (a answer, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	t := m.transport.Load()
	if peer, ok := t.Peer(id); !ok || !peer.Connected {
		return a, fmt.Errorf("%w: %s is not connected", errNotLeader, m.cfg.Cluster.NameOf(id))
	}
	reply, err := t.Call(ctx, id, b)
	if q.Question != nil && err != nil {
		return a, fromWire(err) // nothing was to be changed
	}
	if errors.Is(err, transport.ErrNotCalled) && !errors.Is(err, transport.ErrRefused) {
		return a, fmt.Errorf("%w: %w", errNotLeader, err)
	}
	if err != nil {
		return a, afterCall(fromWire(err))
	}
	return a, afterCall(json.Unmarshal(reply, &a))
}

// afterCall marks an error of a call that says nothing of what became of it.
func afterCall(err error) error {
	if err == nil || errors.As(err, new(*told)) || errors.Is(err, errNotLeader) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// lead answers a request on the leader.
func (m *Member) lead(ctx context.Context, r Replica, q request) (answer, error) {
	switch {
	case q.Move != raft.None:
		return m.list(r), m.handOver(ctx, r, q.Move)
	case q.Weigh != nil:
		return m.weighed(ctx, r, *q.Weigh)
	case q.Change == nil:
		return m.list(r), nil
	}
	if v := m.view.Load(); !v.published {
		if err := m.knowRosters(v.configuration); err != nil {
			return answer{}, err
		}
	}
	if q.Change.Kind == roster.Promote {
		if err := m.mayVote(ctx, *q.Change); err != nil {
			return answer{}, err
		}
	}
	status := r.Status()
	var changed roster.Member
	conf, err := r.ChangeConfiguration(ctx, func(latest raft.Configuration) (raft.Configuration, error) {
		next, one, err := q.Change.Apply(latest, drawID())
		if err != nil {
			return latest, err
		}
		if silent, loses := status.LosesQuorum(next); loses && !sameVoters(latest, next) {
			return latest, fmt.Errorf("%w: %s would not answer", ErrLosesQuorum, m.names(silent))
		}
		changed = one
		return next, nil
	})
	if err != nil {
		return answer{}, classify(cmp.Or(errors.Unwrap(err), err)) // without what it was: that is said by who asks
	}
	a := m.list(r)
	a.Member = changed
	now, err := roster.Decode(conf.Context)
	if one, ok := now.Find(changed.ID); ok && err == nil {
		a.Member = one
	}
	m.log.Info("the members have changed", "change", kinds[q.Change.Kind], "of", changed.String())
	return a, nil
}

var kinds = map[roster.Kind]string{
	roster.Add: "add", roster.Promote: "promote", roster.Remove: "remove", roster.Update: "update", roster.Replace: "replace",
}

func sameVoters(a, b raft.Configuration) bool {
	return fmt.Sprint(a.Voters.Incoming) == fmt.Sprint(b.Voters.Incoming)
}

func (m *Member) names(ids []raft.NodeID) string {
	var all []string
	for _, id := range ids {
		all = append(all, m.cfg.Cluster.NameOf(id))
	}
	return strings.Join(all, ", ")
}

// drawID returns an id that no member ever had.
func drawID() raft.NodeID {
	var b [8]byte
	rand.Read(b[:])
	return raft.NodeID(max(binary.BigEndian.Uint64(b[:]), 1<<16))
}

// answer is transport.Config.OnCall.
func (m *Member) answer(ctx context.Context, from transport.Caller, b []byte) ([]byte, error) {
	var q request
	if err := json.Unmarshal(b, &q); err != nil || !q.whole() {
		return nil, toWire(fmt.Errorf("%w: the request cannot be read (%v)", ErrBadChange, err))
	}
	if from.ID == raft.None {
		if err := m.admitStranger(from, &q); err != nil {
			return nil, toWire(err)
		}
	}
	a, err := m.serve(ctx, q)
	if err != nil {
		return nil, toWire(err)
	}
	return encodeAnswer(a)
}

// encodeAnswer encodes an answer. That a change was made is not known to who cannot be told.
func encodeAnswer(a answer) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // addresses may have what would take six bytes for one
	if err := e.Encode(a); err != nil || b.Len() > transport.MaxCall {
		return nil, toWire(fmt.Errorf("%w: the answer of %d bytes cannot be sent (%v)", ErrUnknown, b.Len(), err))
	}
	return b.Bytes(), nil
}

func (m *Member) serve(ctx context.Context, q request) (answer, error) {
	switch {
	case q.Question != nil:
		return m.reply(ctx, q.Question)
	case q.Ready != nil:
		return answer{}, m.ready(ctx)
	case q.List != nil && !q.List.Leader:
		return m.listLocal(), nil
	case q.List != nil, q.Move != raft.None, q.Weigh != nil, q.Relayed, q.Leaderless:
		return m.ask(ctx, q)
	}
	ctx, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	return m.change(ctx, *q.Change)
}

// relayTime bounds how long a member waits for a leader on behalf of a server that joins.
const relayTime = 10 * time.Second

// servesTLS tells whether a certificate may be that of a server. Where clients and members have one
// authority, a client must not become a member by its name.
func servesTLS(cert *x509.Certificate) bool {
	if len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 {
		return true // it is for everything
	}
	return slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// admitStranger refuses a server without an id, unless it asks to join, or who the members are, and
// proves by what it may speak for a member of its name and addresses.
func (m *Member) admitStranger(from transport.Caller, q *request) error {
	about := q.From
	if q.Move != raft.None || q.Question != nil || q.Weigh != nil || q.Ready != nil {
		return fmt.Errorf("%w: a server that is no member may not ask that", ErrNotAdmitted)
	}
	if c := q.Change; c != nil {
		if c.Kind != roster.Add || c.Incarnation == (roster.Incarnation{}) || q.Relayed {
			return fmt.Errorf("%w: a server that is no member may only ask to join", ErrNotAdmitted)
		}
		about = &c.About
	}
	if about == nil || about.Name == "" {
		return fmt.Errorf("%w: the server does not say its name", ErrNotAdmitted)
	}
	if err := m.proven(from, *about); err != nil {
		return fmt.Errorf("%w: %w", ErrNotAdmitted, err)
	}
	return nil
}

// proven is nil if who calls, and is no member that is known, has proved that it may speak for a
// member of whom this is said.
func (m *Member) proven(from transport.Caller, about roster.About) error {
	if from.TLS == nil || len(from.TLS.PeerCertificates) == 0 {
		return nil // certificates are not demanded
	}
	cert := from.TLS.PeerCertificates[0]
	if !servesTLS(cert) {
		return fmt.Errorf("the certificate of %s is for clients only, and a member is a server", certs.Describe(cert))
	}
	return m.certified(cert, raft.None, about)
}
