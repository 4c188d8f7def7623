package transport

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"balsa.example/internal/certs"
	"balsa.example/raft"
)

// The handshake:
//
//	dialer                              acceptor
//	preamble, hello (who, whom, what) ─►
//	                                   ◄─ preamble, welcome (who, and a verdict)
//	confirm (a verdict) ──────────────►
//
// Each side decides about the other (see judge). A verdict is a Code and, if that is not
// accepted, a reason; whoever gets another one than accepted or Later hangs up.
// The preamble is the magic and the major and minor wire version. A node refuses
// every major version but its own; a minor version only adds frames that are sent
// to those who know them. The dialer does not wait after its confirm.
const (
	magic        = "balsa-p\n"
	majorVersion = 3
	minorVersion = 0
	preambleSize = len(magic) + 2

	// helloMax bounds the payload of a handshake's frames, in bytes.
	helloMax = 64 << 10
	// attributesMax bounds Config.Attributes, in bytes, cardMax what Config.Card returns, and
	// nameMax Config.Name.
	attributesMax = 32 << 10
	cardMax       = 28 << 10
	nameMax       = 256
	// reasonMax bounds the text of a refusal, in bytes.
	reasonMax = 1 << 10
)

// ErrRefused says that the other node refused the connection or the snapshot; its
// reason follows. Every *Refusal is an ErrRefused.
var ErrRefused = errors.New("transport: refused")

// errMismatch is the refusal of a connection by the rules of the handshake.
var errMismatch = errors.New("transport: handshake")

// Code is a verdict in numbers, for programs to act on.
type Code uint64

const (
	accepted Code = iota
	// Mismatch: the rules of the handshake are against it, or Config.Admit without a code.
	Mismatch
	// Later: nothing is against it, but the time has not come.
	Later
	// NotMember: whoever dialed is not among the peers of whom it dialed.
	NotMember
	// OtherGroup: the two were told different groups.
	OtherGroup
	// Twice: another process speaks for the same node, and lives.
	Twice

	// OwnCode is the first of those that Config.Admit may use as it likes.
	OwnCode Code = 64
)

// Refusal is why a node does not talk to another.
type Refusal struct {
	By     raft.NodeID // who refuses; Admit leaves it out
	Code   Code
	Reason string
}

func (r *Refusal) Error() string {
	if r.By == raft.None {
		return "transport: " + r.Reason
	}
	return fmt.Sprintf("transport: refused by %s: %s", r.By, r.Reason)
}

// Is makes every Refusal an ErrRefused.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

// purpose is what a connection is for.
type purpose uint64

const (
	forMessages purpose = 1
	forSnapshot purpose = 2
)

// identity is how a node introduces itself.
type identity struct {
	group      uint64
	id         raft.NodeID
	name       []byte
	boot       [16]byte // drawn by each process
	card       []byte
	attributes []byte
}

func (c *coder) identity(v *identity) {
	number(c, &v.group)
	number(c, &v.id)
	c.bytes(&v.name)
	c.fixed(v.boot[:])
	c.bytes(&v.card)
	c.bytes(&v.attributes)
}

// String is the node's name, if it has one.
func (v identity) String() string {
	if len(v.name) == 0 {
		return v.id.String()
	}
	return string(v.name[:min(len(v.name), nameMax)])
}

// introduction is how this node introduces itself now.
func (t *Transport) introduction() identity {
	self := t.self
	if t.cfg.Card != nil {
		self.card = t.cfg.Card()
	}
	return self
}

// hello is what the dialer says first.
type hello struct {
	purpose purpose
	to      raft.NodeID
	from    identity
}

func (c *coder) hello(v *hello) {
	number(c, &v.purpose)
	number(c, &v.to)
	c.identity(&v.from)
}

// verdict is what one side has decided about the other.
type verdict struct {
	code   Code
	reason []byte
}

func (c *coder) verdict(v *verdict) {
	number(c, &v.code)
	c.bytes(&v.reason)
}

// verdictOf puts err into a verdict: accepted if it is nil, and only then.
func verdictOf(err error) verdict {
	if err == nil {
		return verdict{}
	}
	if r := new(Refusal); errors.As(err, &r) && r.By == raft.None {
		return verdict{code: max(r.Code, Mismatch), reason: reasonFor(errors.New(r.Reason))}
	}
	return verdict{code: Mismatch, reason: reasonFor(err)}
}

// err is the inverse of verdictOf, at the other side: by is who decided.
func (v verdict) err(by raft.NodeID) error {
	if v.code == accepted {
		return nil
	}
	return &Refusal{By: by, Code: v.code, Reason: string(v.reason)}
}

// isLater tells whether err is a Refusal that only says Later.
func isLater(err error) bool {
	r := new(Refusal)
	return errors.As(err, &r) && r.Code == Later
}

// welcome is the acceptor's answer. Of a node that refuses it tells the id and the name
// alone.
type welcome struct {
	from    identity
	verdict verdict
}

func (c *coder) welcome(v *welcome) {
	c.identity(&v.from)
	c.verdict(&v.verdict)
}

// appendPreamble appends magic and versions.
func appendPreamble(dst []byte) []byte {
	return append(append(dst, magic...), majorVersion, minorVersion)
}

// readPreamble checks the other side's preamble.
func readPreamble(f *frameReader) error {
	if b, _ := f.r.Peek(2); certs.IsTLS(b) {
		return fmt.Errorf("%w: the other side speaks TLS: it has certificates or a cluster secret, and this side has not", errMismatch)
	}
	b, err := f.r.Peek(preambleSize)
	if err != nil {
		return fmt.Errorf("read preamble: %w", err)
	}
	if string(b[:len(magic)]) != magic {
		return fmt.Errorf("%w: not a balsa peer", errMismatch)
	}
	if major, minor := b[len(magic)], b[len(magic)+1]; major != majorVersion {
		return fmt.Errorf("%w: peer speaks wire version %d.%d, this node %d.%d", errMismatch, major, minor, majorVersion, minorVersion)
	}
	f.r.Discard(preambleSize)
	return nil
}

// readFrame reads a frame that has to be of the given kind and decodes it.
func readFrame(f *frameReader, kind byte, layout func(*coder)) error {
	got, payload, err := f.read()
	if err != nil {
		return err
	}
	if got != kind {
		return fmt.Errorf("%w: frame of kind %d where %d was expected", ErrCorrupt, got, kind)
	}
	c := coder{buf: payload}
	layout(&c)
	return c.end()
}

// appendLayout appends a frame with a layout as its payload.
func appendLayout(dst []byte, kind byte, layout func(*coder)) []byte {
	dst, start := beginFrame(dst)
	c := coder{buf: dst, encoding: true}
	layout(&c)
	finishFrame(c.buf, start, kind)
	return c.buf
}

// reasonFor makes the text of a refusal out of err; nil makes an empty one, and only nil.
func reasonFor(err error) []byte {
	if err == nil {
		return nil
	}
	text := err.Error()
	if text == "" {
		text = "no reason given"
	}
	return []byte(text[:min(len(text), reasonMax)])
}

// introduce does the dialer's part of the handshake with node id. The caller has
// set a deadline.
func (t *Transport) introduce(conn net.Conn, f *frameReader, id raft.NodeID, what purpose) (identity, error) {
	h := hello{purpose: what, to: id, from: t.introduction()}
	b := appendLayout(appendPreamble(nil), frameHello, func(c *coder) { c.hello(&h) })
	if _, err := conn.Write(b); err != nil {
		return identity{}, fmt.Errorf("write hello: %w", err)
	}
	if err := readPreamble(f); err != nil {
		return identity{}, err
	}
	var w welcome
	if err := readFrame(f, frameWelcome, func(c *coder) { c.welcome(&w) }); err != nil {
		return identity{}, fmt.Errorf("read welcome: %w", err)
	}
	theirs := w.verdict.err(id)
	if theirs != nil && !isLater(theirs) {
		return w.from, theirs
	}
	ours := t.judge(conn, w.from, id)
	if theirs != nil {
		return w.from, cmp.Or(ours, theirs)
	}
	confirm := verdictOf(ours)
	if _, err := conn.Write(appendLayout(nil, frameConfirm, func(c *coder) { c.verdict(&confirm) })); err != nil {
		return w.from, cmp.Or(ours, fmt.Errorf("write confirm: %w", err))
	}
	return w.from, ours
}

// judge decides whether who, which should be node id, is one to talk to.
func (t *Transport) judge(conn net.Conn, who identity, id raft.NodeID) error {
	switch {
	case who.group != t.self.group:
		return t.refuseGroup(who)
	case who.id != id:
		return fmt.Errorf("%w: this is %s, not %s", errMismatch, who, id)
	}
	if t.cfg.Admit != nil {
		if err := t.cfg.Admit(who.id, who.card); err != nil {
			return err
		}
	}
	if p := t.peer(id); p != nil {
		return p.judgeProcess(conn, who)
	}
	return nil
}

// newBoot draws a process's number.
func newBoot() (boot [16]byte) {
	rand.Read(boot[:])
	return boot
}

// receive does the acceptor's part of the handshake and returns the peer that
// dialed and what for. An error names the other side as far as it is known, and
// has been told to it if it was ours.
func (t *Transport) receive(conn net.Conn, f *frameReader) (*peer, hello, error) {
	var h hello
	if err := t.greet(conn); err != nil {
		return nil, h, err
	}
	if err := readPreamble(f); err != nil {
		if errors.Is(err, errMismatch) {
			t.answer(conn, err)
		}
		return nil, h, err
	}
	if err := readFrame(f, frameHello, func(c *coder) { c.hello(&h) }); err != nil {
		return nil, h, fmt.Errorf("read hello: %w", err)
	}
	p, ours := t.judgeHello(conn, h)
	if err := t.answer(conn, ours); err != nil || ours != nil {
		return p, h, errors.Join(ours, err)
	}
	var theirs verdict
	if err := readFrame(f, frameConfirm, func(c *coder) { c.verdict(&theirs) }); err != nil {
		return p, h, fmt.Errorf("read confirm: %w", err)
	}
	return p, h, theirs.err(h.from.id)
}

func (t *Transport) judgeHello(conn net.Conn, h hello) (*peer, error) {
	p := t.peer(h.from.id)
	switch { // what is told so far is no secret: who is a member
	case h.from.group != t.self.group:
		return p, t.refuseGroup(h.from)
	case h.to != t.self.id:
		return p, fmt.Errorf("%w: this is %s, not %s", errMismatch, t.self, h.to)
	case p == nil:
		return p, t.refuseStranger(h.from)
	case h.purpose != forMessages && h.purpose != forSnapshot:
		return p, fmt.Errorf("%w: unknown purpose %d", errMismatch, h.purpose)
	}
	if err := t.authorize(conn, h.from.id); err != nil {
		return p, err
	}
	return p, t.judge(conn, h.from, h.from.id)
}

// refuseGroup refuses a node that was told another group.
func (t *Transport) refuseGroup(who identity) error {
	if len(t.cfg.Members) > 0 && !slices.Contains(t.cfg.Members, who.String()) {
		return t.refuseStranger(who)
	}
	return &Refusal{Code: OtherGroup, Reason: fmt.Sprintf("%s was told other members or another token than %s: %s",
		who, t.self, strings.Join(t.cfg.Members, ", "))}
}

// refuseStranger refuses a node that is no member.
func (t *Transport) refuseStranger(who identity) error {
	return &Refusal{Code: NotMember, Reason: fmt.Sprintf("%s is no member of the cluster of %s: %s",
		who, t.self, strings.Join(t.cfg.Members, ", "))}
}

// answer sends the welcome. A refusal tells nothing of this node but its id and name:
// whoever asks may be anybody. After it answer waits for the other side to close: closing
// first could reset the connection before the reason is read.
func (t *Transport) answer(conn net.Conn, ours error) error {
	w := welcome{from: identity{id: t.self.id, name: t.self.name}, verdict: verdictOf(ours)}
	if ours == nil || isLater(ours) {
		w.from = t.introduction()
	}
	b := appendLayout(appendPreamble(nil), frameWelcome, func(c *coder) { c.welcome(&w) })
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write welcome: %w", err)
	}
	if ours != nil {
		linger(conn)
	}
	return nil
}

// lingerMax bounds how long, and lingerBytes for how much, linger waits.
const (
	lingerMax   = time.Second
	lingerBytes = 1 << 20
)

// writeCloser is a connection that can be closed for writing alone.
type writeCloser interface{ CloseWrite() error }

// linger says that nothing more comes, and reads on until the other side closes the
// connection.
func linger(conn net.Conn) {
	if c, ok := conn.(writeCloser); ok {
		c.CloseWrite()
	}
	if conn.SetDeadline(time.Now().Add(lingerMax)) == nil {
		io.CopyN(io.Discard, conn, lingerBytes)
	}
}
