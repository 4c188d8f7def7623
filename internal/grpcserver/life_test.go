package grpcserver

import (
	"testing"
	"testing/synctest"
)

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &service{})
		c := s.dial(t)
		a := c.call([]byte("hello"))
		b := c.begin(talk, false)
		c.send(b, prefixed([]byte("x"), nil, []byte("y")), true)
		e := c.call(nil)
		c.want(a, []byte("hello"))
		c.want(b, []byte("x"), nil, []byte("y"))
		c.want(e, nil)
		s.conn(t).wantQuiet(t)
	})
}
