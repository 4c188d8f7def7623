package inproc

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// connect returns both ends of a connection.
func connect(t *testing.T, l *Listener) (client, server net.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	client, err := l.Dial(t.Context(), "any:1")
	if err != nil {
		t.Fatal(err)
	}
	return client, <-accepted
}

func TestWhatIsWrittenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		defer l.Close()
		client, server := connect(t, l)
		client.SetWriteDeadline(time.Now().Add(time.Hour))
		written, timeout := 0, net.Error(nil)
		for {
			n, err := client.Write(make([]byte, 1<<10))
			written += n
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			}
			if err != nil || written > bufferBytes {
				t.Fatalf("%d bytes were written to a connection that nobody reads: %v", written, err)
			}
		}
		got, err := io.ReadFull(server, make([]byte, bufferBytes))
		if got != written || err != nil {
			t.Errorf("read %d bytes of %d: %v", got, written, err)
		}
		if a := server.RemoteAddr().String(); a != "in process" {
			t.Errorf("the client connects from %q", a)
		}
		client.Close()
		server.Close()
	})
}

func TestDialEndsWhenNobodyAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Listen()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Dial(ctx, "any:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial without accept: %v", err)
		}
		time.AfterFunc(time.Second, func() { l.Close() })
		if _, err := l.Dial(t.Context(), "any:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial of a closed Listener: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept of a closed Listener: %v", err)
		}
	})
}

func TestDialerGoesThroughMemoryToOwnAddressesOnly(t *testing.T) {
	l := Listen()
	defer l.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go l.Accept()
	dial := l.Dialer("own:1", "also-own:1")
	for address, network := range map[string]string{"also-own:1": "inproc", other.Addr().String(): "tcp"} {
		c, err := dial(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.RemoteAddr().Network(); got != network {
			t.Errorf("%s is reached by %s, want %s", address, got, network)
		}
		c.Close()
	}
}
