package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"balsa/internal/certs"
	"balsa/raft"
)

// The handshake:
//
//	dialer                              acceptor
//	preamble, hello (who, whom, what) ─►
//	                                   ◄─ preamble, welcome (who, or why not)
//	confirm (empty, or why not) ──────►
//
// The preamble is the magic and the major and minor wire version. A node refuses
// every major version but its own; a minor version only adds frames that are sent
// to those who know them. The dialer does not wait after its confirm.
const (
	magic        = "balsa-p\n"
	majorVersion = 2
	minorVersion = 0
	preambleSize = len(magic) + 2

	// helloMax bounds the payload of a handshake's frames, in bytes.
	helloMax = 64 << 10
	// attributesMax bounds Config.Attributes, in bytes.
	attributesMax = 32 << 10
	// reasonMax bounds the text of a refusal, in bytes.
	reasonMax = 1 << 10
)

// ErrRefused says that the other node refused the connection or the snapshot; its
// reason follows.
var ErrRefused = errors.New("transport: refused")

// errMismatch is the refusal of a connection by the rules of the handshake.
var errMismatch = errors.New("transport: handshake")

// purpose is what a connection is for.
type purpose uint64

const (
	forMessages purpose = 1
	forSnapshot purpose = 2
)

// identity is how a node introduces itself.
type identity struct {
	cluster     uint64
	id          raft.NodeID
	incarnation [16]byte
	attributes  []byte
}

func (c *coder) identity(v *identity) {
	number(c, &v.cluster)
	number(c, &v.id)
	c.fixed(v.incarnation[:])
	c.bytes(&v.attributes)
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

// welcome is the acceptor's answer. An empty reason means yes.
type welcome struct {
	from   identity
	reason []byte
}

func (c *coder) welcome(v *welcome) {
	c.identity(&v.from)
	c.bytes(&v.reason)
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

// refusal is an ErrRefused by one node.
type refusal struct {
	by     raft.NodeID
	reason string
}

func (r *refusal) Error() string { return fmt.Sprintf("transport: refused by %s: %s", r.by, r.reason) }

// Is makes every refusal an ErrRefused.
func (r *refusal) Is(target error) bool { return target == ErrRefused }

// introduce does the dialer's part of the handshake with node id. The caller has
// set a deadline.
func (t *Transport) introduce(conn net.Conn, f *frameReader, id raft.NodeID, what purpose) (identity, error) {
	b := appendPreamble(nil)
	b = appendLayout(b, frameHello, func(c *coder) { c.hello(&hello{purpose: what, to: id, from: t.self}) })
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
	if len(w.reason) > 0 {
		return w.from, &refusal{id, string(w.reason)}
	}
	verdict := t.judge(w.from, id)
	reason := reasonFor(verdict)
	if _, err := conn.Write(appendLayout(nil, frameConfirm, func(c *coder) { c.bytes(&reason) })); err != nil {
		return w.from, fmt.Errorf("write confirm: %w", err)
	}
	return w.from, verdict
}

// judge decides whether who, which should be node id, is one to talk to.
func (t *Transport) judge(who identity, id raft.NodeID) error {
	switch {
	case who.cluster != t.self.cluster:
		return fmt.Errorf("%w: %s is of cluster %016x, %s of %016x", errMismatch, who.id, who.cluster, t.self.id, t.self.cluster)
	case who.id != id:
		return fmt.Errorf("%w: this is %s, not %s", errMismatch, who.id, id)
	case t.cfg.Admit != nil:
		return t.cfg.Admit(who.id, who.incarnation)
	default:
		return nil
	}
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
	p, verdict := t.judgeHello(conn, h)
	if err := t.answer(conn, verdict); err != nil || verdict != nil {
		return p, h, errors.Join(verdict, err)
	}
	var reason []byte
	if err := readFrame(f, frameConfirm, func(c *coder) { c.bytes(&reason) }); err != nil {
		return p, h, fmt.Errorf("read confirm: %w", err)
	}
	if len(reason) > 0 {
		return p, h, &refusal{h.from.id, string(reason)}
	}
	return p, h, nil
}

func (t *Transport) judgeHello(conn net.Conn, h hello) (*peer, error) {
	p := t.peer(h.from.id)
	if err := t.authorize(conn, h.from.id); err != nil {
		return p, err
	}
	if h.to != t.self.id {
		return p, fmt.Errorf("%w: this is %s, not %s", errMismatch, t.self.id, h.to)
	}
	if p == nil && h.from.cluster == t.self.cluster {
		return p, fmt.Errorf("%w: %s is not a member that %s knows", errMismatch, h.from.id, t.self.id)
	}
	if h.purpose != forMessages && h.purpose != forSnapshot {
		return p, fmt.Errorf("%w: unknown purpose %d", errMismatch, h.purpose)
	}
	return p, t.judge(h.from, h.from.id)
}

// answer sends the welcome, a refusal if verdict is not nil. A refusal tells nothing of
// this node but its id: whoever asks may be anybody. After it answer
// waits for the other side to close: closing first could reset the connection
// before the reason is read.
func (t *Transport) answer(conn net.Conn, verdict error) error {
	w := welcome{from: t.self}
	if verdict != nil {
		w = welcome{from: identity{id: t.self.id}, reason: reasonFor(verdict)}
	}
	b := appendLayout(appendPreamble(nil), frameWelcome, func(c *coder) { c.welcome(&w) })
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write welcome: %w", err)
	}
	if verdict != nil {
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
