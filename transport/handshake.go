package transport

import (
	"cmp"
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
//	preamble, hello (from, to, purpose) ►
//	                                   ◄─ preamble, welcome (from, verdict)
//	confirm (verdict) ──────────────────►
//
// Each side decides about the other (see checkIdentity). A verdict is a Code and, if that is
// not accepted, a reason. A side that gets another verdict than accepted or CodeNotYet hangs
// up. The dialer does not wait after its confirm.
//
// The preamble is the magic and the major and minor version of the protocol. A node refuses
// every major version but its own. A minor version only adds frames that are sent to nodes
// that know them.
const (
	magic        = "balsa-p\n"
	majorVersion = 4
	minorVersion = 2 // 1: fetches; 2: calls
	preambleSize = len(magic) + 2

	// helloMax bounds the payload of a handshake's frames, in bytes.
	helloMax = 64 << 10
	// attributesMax bounds Handshake.Attributes, in bytes, cardMax what Handshake.Card
	// returns, and nameMax Handshake.Name.
	attributesMax = 32 << 10
	cardMax       = 28 << 10
	nameMax       = 256
	// reasonMax bounds the text of a refusal, in bytes.
	reasonMax = 1 << 10
)

// purpose is what a connection is for.
type purpose uint64

const (
	forMessages purpose = 1
	forSnapshot purpose = 2
	forFetch    purpose = 3 // since 4.1
	forCall     purpose = 4 // since 4.2
)

// identity is what a node tells of itself.
type identity struct {
	group      uint64
	id         raft.NodeID
	name       []byte
	process    processID
	card       []byte
	attributes []byte
	minor      byte // of the protocol, from the preamble
}

func (c *coder) identity(v *identity) {
	number(c, &v.group)
	number(c, &v.id)
	c.bytes(&v.name)
	c.fixed(v.process[:])
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

// currentIdentity is the identity of this node, with the Card of this moment.
func (t *Transport) currentIdentity() identity {
	self := t.self
	if t.cfg.Handshake.Card != nil {
		self.card = t.cfg.Handshake.Card()
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
		return verdict{code: max(r.Code, CodeMismatch), reason: reasonFor(errors.New(r.Reason))}
	}
	return verdict{code: CodeMismatch, reason: reasonFor(err)}
}

// err is the inverse of verdictOf, on the other side: by is the node that decided.
func (v verdict) err(by raft.NodeID) error {
	if v.code == accepted {
		return nil
	}
	return &Refusal{By: by, Code: v.code, Reason: string(v.reason)}
}

// welcome is the acceptor's answer. A node that refuses tells only its id and its name.
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

// readPreamble checks the preamble of the other side.
func readPreamble(f *frameReader) error {
	if b, _ := f.r.Peek(2); certs.IsTLS(b) {
		return fmt.Errorf("%w: the other side speaks TLS: it has certificates or a cluster secret, and this side has not", errMismatch)
	}
	b, err := f.r.Peek(preambleSize)
	if err != nil {
		return fmt.Errorf("read preamble: %w", err)
	}
	if string(b[:len(magic)]) != magic {
		return fmt.Errorf("%w: not a balsa peer (is it the address for clients?)", errMismatch)
	}
	major, minor := b[len(magic)], b[len(magic)+1]
	if major != majorVersion {
		return fmt.Errorf("%w: the peer speaks version %d.%d of the protocol, this node %d.%d", errMismatch, major, minor, majorVersion, minorVersion)
	}
	f.minor = minor
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

// dialHandshake does the dialer's part of the handshake with node id. The caller has
// set a deadline.
func (t *Transport) dialHandshake(conn net.Conn, f *frameReader, id raft.NodeID, what purpose) (identity, error) {
	h := hello{purpose: what, to: id, from: t.currentIdentity()}
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
	w.from.minor = f.minor
	theirs := w.verdict.err(id)
	if theirs != nil && (!isNotYet(theirs) || w.from.process == processID{}) { // which says nothing of itself to an unknown node
		return w.from, theirs
	}
	ours := t.checkIdentity(conn, w.from, id)
	if theirs != nil {
		return w.from, cmp.Or(ours, theirs)
	}
	confirm := verdictOf(ours)
	if _, err := conn.Write(appendLayout(nil, frameConfirm, func(c *coder) { c.verdict(&confirm) })); err != nil {
		return w.from, cmp.Or(ours, fmt.Errorf("write confirm: %w", err))
	}
	return w.from, ours
}

// checkIdentity decides whether this node talks to remote, which should be node id.
func (t *Transport) checkIdentity(conn net.Conn, remote identity, id raft.NodeID) error {
	switch {
	case remote.group != t.self.group:
		return t.refuseGroup(remote)
	case remote.id != id:
		return fmt.Errorf("%w: this is %s, not %s", errMismatch, remote, id)
	}
	if t.cfg.Handshake.Admit != nil {
		if err := t.cfg.Handshake.Admit(remote.id, remote.card); err != nil {
			return err
		}
	}
	if p := t.peer(id); p != nil {
		return p.checkProcess(conn, remote)
	}
	return nil
}

// acceptHandshake does the acceptor's part of the handshake and returns the peer that dialed
// and its hello, as far as they are known. If this node refuses the other, the other has been
// told the error.
func (t *Transport) acceptHandshake(conn net.Conn, f *frameReader) (*peer, hello, error) {
	var h hello
	if err := t.acceptTLS(conn); err != nil {
		return nil, h, err
	}
	if err := readPreamble(f); err != nil {
		if errors.Is(err, errMismatch) {
			t.writeWelcome(conn, nil, err)
		}
		return nil, h, err
	}
	if err := readFrame(f, frameHello, func(c *coder) { c.hello(&h) }); err != nil {
		return nil, h, fmt.Errorf("read hello: %w", err)
	}
	h.from.minor = f.minor
	var p *peer
	var ours error
	if isStranger(h) {
		ours = t.checkStranger()
	} else {
		p, ours = t.checkHello(conn, h)
	}
	if err := t.writeWelcome(conn, p, ours); err != nil || ours != nil {
		return p, h, errors.Join(ours, err)
	}
	var theirs verdict
	if err := readFrame(f, frameConfirm, func(c *coder) { c.verdict(&theirs) }); err != nil {
		return p, h, fmt.Errorf("read confirm: %w", err)
	}
	return p, h, theirs.err(h.from.id)
}

// isStranger tells whether who dialed is a node that has no ID yet, and calls.
func isStranger(h hello) bool { return h.purpose == forCall && h.from.id == raft.None }

func (t *Transport) checkHello(conn net.Conn, h hello) (*peer, error) {
	p := t.peer(h.from.id)
	switch { // what these reasons tell is no secret: the names of the members
	case h.from.group != t.self.group:
		return p, t.refuseGroup(h.from)
	case h.to != t.self.id:
		return p, fmt.Errorf("%w: this is %s, not %s", errMismatch, t.self, h.to)
	case p == nil:
		return p, t.refuseUnknown(conn, h.from)
	case h.purpose < forMessages || h.purpose > forCall:
		return p, fmt.Errorf("%w: unknown purpose %d", errMismatch, h.purpose)
	}
	if err := t.authorize(conn, h.from.id); err != nil {
		return p, err
	}
	return p, t.checkIdentity(conn, h.from, h.from.id)
}

// refuseGroup refuses a node that was told another group.
func (t *Transport) refuseGroup(remote identity) error {
	if len(t.cfg.Handshake.Members) > 0 && !slices.Contains(t.cfg.Handshake.Members, remote.String()) {
		return t.refuseNonMember(remote)
	}
	return &Refusal{Code: CodeOtherGroup, Reason: fmt.Sprintf("%s was told other members or another token than %s: %s",
		remote, t.self, strings.Join(t.cfg.Handshake.Members, ", "))}
}

// refuseNonMember refuses a node that is no member.
func (t *Transport) refuseNonMember(remote identity) error {
	return &Refusal{Code: CodeNotMember, Reason: fmt.Sprintf("%s is no member of the cluster of %s: %s",
		remote, t.self, strings.Join(t.cfg.Handshake.Members, ", "))}
}

// refuseUnknown refuses a node that is no peer.
func (t *Transport) refuseUnknown(conn net.Conn, remote identity) error {
	if t.cfg.Handshake.Unknown != nil {
		if err := t.cfg.Handshake.Unknown(callerOn(conn, remote.id), remote.card); err != nil {
			return err
		}
	}
	return t.refuseNonMember(remote)
}

// writeWelcome tells the other side, p, the verdict, nil for accepted. A refusal tells nothing of
// this node but its id and name, since the other side may be anybody. So does what a stranger is
// told, who is no peer. After a refusal writeWelcome
// waits for the other side to close: closing first could reset the connection before the
// other side has read the reason.
func (t *Transport) writeWelcome(conn net.Conn, p *peer, ours error) error {
	w := welcome{from: identity{id: t.self.id, name: t.self.name}, verdict: verdictOf(ours)}
	if p != nil && (ours == nil || isNotYet(ours)) {
		w.from = t.currentIdentity()
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
