package grpcserver

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
)

// What a client has sent before it hears that a stream has ended is nobody's fault.
func TestDataOfAStreamThatHasEndedIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		id := c.begin("/none", false)
		synctest.Wait()
		before := c.heard(id)
		for range 1000 {
			c.WriteData(id, false, make([]byte, 8))
		}
		synctest.Wait()
		if after := c.heard(id); len(after.resets) != len(before.resets) {
			t.Errorf("resets: %v, and then %v", before.resets, after.resets)
		}
		c.wantOpen()
	})
}

// Many clients send the end of a unary call in a frame of its own. The call waits for it: a client whose
// side of the stream is open would have to be sent RST_STREAM.
func TestAUnaryCallWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{}).dial(t)
		id := c.begin(call, false)
		c.WriteData(id, false, binary.BigEndian.AppendUint32([]byte{0}, 0))
		synctest.Wait()
		if heard := c.heard(id); heard.ended {
			t.Error("it was answered before its end")
		}
		c.WriteData(id, true, nil)
		synctest.Wait()
		if heard := c.heard(id); !heard.ended || len(heard.resets) > 0 {
			t.Errorf("ended: %v, resets: %v", heard.ended, heard.resets)
		}
	})
}

// A client whose connection is ended learns why, even if it has sent more meanwhile: a socket that is closed
// with something unread takes back what its other side has not read.
func TestTheReasonArrivesBehindWhatWasSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(testConfig(new(countingPool)))
	go s.Serve(l)
	defer s.Stop()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fr := http2.NewFramer(conn, conn)
	conn.Write([]byte(http2.ClientPreface))
	fr.WriteSettings()
	for range 10 {
		fr.WritePing(false, [8]byte{})
	}
	for range 20 {
		fr.WriteData(1, false, make([]byte, 4000)) // is not looked at any more
	}
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	told := false
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			if err != io.EOF || !told {
				t.Errorf("%v; told why: %v", err, told)
			}
			return
		}
		if g, ok := f.(*http2.GoAwayFrame); ok {
			told = string(g.DebugData()) == errTooManyPings.text
		}
	}
}

// A stream that is lower than others has been closed, whether it has ever begun or not.
func TestStreamsRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serve(t, &service{talk: hang}).dial(t)
		c.next += 4
		c.begin(talk, false)
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(fields(call)), EndHeaders: true, EndStream: true})
		synctest.Wait()
		c.wantEnd(http2.ErrCodeProtocol)
	})
}

// A goroutine of a handler that sends, while the client does not read, ends with the handler.
func TestASenderEndsWithItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := make(chan error, 1)
		s := serve(t, &service{talk: func(s grpc.ServerStream) error {
			go func() {
				for {
					if err := s.SendMsg(make([]byte, sendQuota)); err != nil {
						sent <- err
						return
					}
				}
			}()
			time.Sleep(time.Second)
			return nil
		}})
		c := s.dial(t)
		c.begin(talk, true)
		time.Sleep(time.Minute)
		select {
		case <-sent:
		default:
			t.Error("it waits")
		}
	})
}

// Thousands of streams at once leave nothing behind: a map keeps the memory that it has had.
func TestABurstOfStreamsLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{talk: hang}, func(cfg *Config) { cfg.MaxStreams = 1000 })
		c := s.dial(t)
		var ids []uint32
		for range 1000 {
			ids = append(ids, c.begin(talk, false))
		}
		synctest.Wait()
		if n := s.conn(t).most; n != 1000 {
			t.Errorf("there were %d streams", n)
		}
		for _, id := range ids {
			c.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		s.conn(t).wantQuiet(t)
		if n := s.conn(t).most; n != 0 {
			t.Errorf("the map has room for %d streams", n)
		}
	})
}
