package dialing

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestADeadAddressLeavesTimeForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		near, far := net.Pipe()
		defer far.Close()
		start := time.Now()
		conn, err := inTurn(ctx, []string{"dead", "refuses", "dead too", "lives"}, func(ctx context.Context, host string) (net.Conn, error) {
			switch host {
			case "lives":
				return near, nil
			case "refuses":
				return nil, errors.New("refused")
			default:
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		if conn != near || err != nil || time.Since(start) >= time.Second {
			t.Errorf("%v, %v after %v", conn, err, time.Since(start))
		}
		near.Close()
	})
}

func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost"} {
		conn, err := Dial(t.Context(), net.JoinHostPort(host, port))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	l.Close()
	if _, err := Dial(t.Context(), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	if _, err := Dial(t.Context(), "no port"); err == nil {
		t.Error("no port, no error")
	}
}
