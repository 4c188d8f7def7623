package transport

import (
	"net"
	"runtime"
	"testing"
	"time"
)

func TestRoundTripIsThatOfTheConnection(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Write([]byte("a"))
			conn.Read(make([]byte, 1))
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Read(make([]byte, 1))
	if d, ok := roundTrip(conn); !ok || d <= 0 || d > 10*time.Second {
		t.Errorf("%v, %t", d, ok)
	}
	if _, ok := roundTrip(&net.UDPConn{}); ok {
		t.Error("a connection that is not TCP has a round trip")
	}
}
