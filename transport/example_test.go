package transport_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/transport"
)

// Three replicas of a counter in one process, over TCP on the loopback interface. Between
// machines Config.Listen takes the place of the Listener.
func Example() {
	listeners, peers := map[raft.NodeID]net.Listener{}, map[raft.NodeID]string{}
	for id := raft.NodeID(1); id <= 3; id++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Println(err)
			return
		}
		listeners[id], peers[id] = l, l.Addr().String()
	}
	nodes := map[raft.NodeID]*rsm.Node[int64, int64]{}
	for id, l := range listeners {
		t, err := transport.New(transport.Config{ID: id, Peers: peers, Listener: l})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer t.Close()
		storage := rsm.NewMemoryStorage(raft.NewConfiguration(1, 2, 3))
		nodes[id], err = rsm.Start(rsm.Config[int64, int64]{
			ID: id, Machine: &counter{}, Codec: varint{}, Log: storage, Snapshots: storage, Transport: t,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer nodes[id].Stop()
		t.Start(nodes[id]) // also has the node told which peers are unreachable
	}

	for ask := raft.NodeID(1); ; ask = ask%3 + 1 {
		sum, err := nodes[ask].Submit(context.Background(), 42)
		if !errors.Is(err, rsm.ErrWrongLeader) {
			fmt.Println(sum, err)
			return
		}
		time.Sleep(time.Millisecond) // another node leads, or none yet
	}
	// Output: 42 <nil>
}

// Mutual TLS by one configuration: it serves the connections that this node accepts, and
// those that it makes.
func ExampleConfig_tls() {
	cert, err := tls.LoadX509KeyPair("n1.pem", "n1.key")
	if err != nil {
		return // the files are not part of the example
	}
	ca, _ := os.ReadFile("ca.pem")
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(ca)
	config := transport.Config{
		ID:     1,
		Listen: "0.0.0.0:23800",
		Peers:  map[raft.NodeID]string{1: "n1.internal:23800", 2: "n2.internal:23800", 3: "n3.internal:23800"},
		TLS: &tls.Config{
			Certificates: []tls.Certificate{cert},
			RootCAs:      authorities,
			ClientCAs:    authorities,
			ClientAuth:   tls.RequireAndVerifyClientCert,
		},
		// A certificate is good for one node: the one that its common name says.
		Authorize: func(id raft.NodeID, state tls.ConnectionState) error {
			if name := state.PeerCertificates[0].Subject.CommonName; name != id.String() {
				return fmt.Errorf("the certificate names %s, not %s", name, id)
			}
			return nil
		},
	}
	t, err := transport.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer t.Close()
}

// counter is a state machine: a number, and operations that add to it.
type counter struct{ sum int64 }

func (c *counter) DoOp(add int64) int64            { c.sum += add; return c.sum }
func (c *counter) Snapshot() (io.WriterTo, error)  { return image(c.sum), nil }
func (c *counter) Restore(r io.Reader) (err error) { _, err = fmt.Fscan(r, &c.sum); return err }

type image int64

func (i image) WriteTo(w io.Writer) (int64, error) {
	n, err := fmt.Fprintln(w, int64(i))
	return int64(n), err
}

// varint is the codec of its operations.
type varint struct{}

func (varint) Append(dst []byte, add int64) []byte { return binary.AppendVarint(dst, add) }
func (varint) Decode(b []byte) (int64, error)      { add, _ := binary.Varint(b); return add, nil }
