//go:build linux

package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An init daemon that does not read holds up no server.
func TestADaemonThatDoesNotReadIsNotWaitedFor(t *testing.T) {
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	daemon, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	conn, err := net.DialUnix("unixgram", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for err == nil { // until the daemon has no room
		conn.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		_, err = conn.Write([]byte("x"))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	p := program{env: func(name string) (string, bool) { return address.Name, name == "NOTIFY_SOCKET" }}
	told := make(chan struct{})
	go func() {
		p.notifyInit()
		close(told)
	}()
	select {
	case <-told:
	case <-time.After(10 * notifyTimeout):
		t.Error("it waits for ever")
	}
}
