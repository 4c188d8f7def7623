package rsmtest_test

import (
	"net"
	"testing"

	"balsa.example/internal/check/memnet"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/rsm/rsmtest"
	"balsa.example/transport"
)

func TestMemnet(t *testing.T) {
	rsmtest.TestTransport(t, func(t testing.TB, ids ...raft.NodeID) map[raft.NodeID]rsmtest.Endpoint {
		network := memnet.New(1)
		t.Cleanup(network.Close)
		ends := map[raft.NodeID]rsmtest.Endpoint{}
		for _, id := range ids {
			e := network.Node(id)
			ends[id] = rsmtest.Endpoint{Transport: e, Start: func(r rsm.Receiver) { e.Start(r) }, Close: e.Stop, Resumes: true}
		}
		return ends
	})
}

func TestTCP(t *testing.T) {
	rsmtest.TestTransport(t, func(t testing.TB, ids ...raft.NodeID) map[raft.NodeID]rsmtest.Endpoint {
		listeners, peers := map[raft.NodeID]net.Listener{}, map[raft.NodeID]string{}
		for _, id := range ids {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			listeners[id], peers[id] = l, l.Addr().String()
		}
		ends := map[raft.NodeID]rsmtest.Endpoint{}
		for _, id := range ids {
			e, err := transport.New(transport.Config{ID: id, Group: 1, Listener: listeners[id], Peers: peers})
			if err != nil {
				t.Fatal(err)
			}
			ends[id] = rsmtest.Endpoint{Transport: e, Start: func(r rsm.Receiver) { e.Start(r) }, Close: e.Close, Resumes: true}
		}
		return ends
	})
}
