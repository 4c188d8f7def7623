package server

import (
	"errors"
	"net"
	"testing"
	"time"

	"balsa.example/internal/check/leak"
)

func TestJoinedListenersAcceptAtEachAddress(t *testing.T) {
	all := []net.Listener{leak.Listen(t), leak.Listen(t), leak.Listen(t)}
	joined := join(all)
	for _, l := range all {
		dialed, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := joined.Accept()
		if err != nil || conn.RemoteAddr().String() != dialed.LocalAddr().String() {
			t.Errorf("accepted %v, %v", conn, err)
		}
		conn.Close()
		dialed.Close()
	}
	if joined.Addr().String() != all[0].Addr().String() {
		t.Errorf("its address is %s", joined.Addr())
	}
	if err := joined.Close(); err != nil {
		t.Error(err)
	}
	if _, err := joined.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after its end it says %v", err)
	}
	for _, l := range all {
		leak.WantClosed(t, l)
	}
}

// Members find each other at the second of two addresses, when nobody hears the first.
func TestMembersHaveSeveralAddresses(t *testing.T) {
	c := newTestCluster(t, options{servers: 3})
	var list string
	for i, m := range c.configs[0].Cluster.Members {
		second := leak.Listen(t)
		c.configs[i].PeerListener = join([]net.Listener{c.configs[i].PeerListener, second})
		list += "," + m.Name + "=http://127.0.0." + string(rune('2'+i)) + ":1," + m.Name + "=http://" + second.Addr().String()
	}
	cluster, err := ParseCluster("test", list[1:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.configs {
		c.configs[i].Cluster, c.configs[i].ListenPeer = cluster, cluster.PeerURLs(c.configs[i].Name)
		c.start(i)
	}
	for _, s := range c.servers {
		select {
		case <-s.Ready():
		case <-time.After(patience):
			t.Fatal("they do not find each other")
		}
	}
}
