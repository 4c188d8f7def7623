package main

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"
)

// notifyTimeout is how long an init daemon is waited for. The server's replica is not watched meanwhile.
const notifyTimeout = time.Second

// notifyInit tells an init daemon that has asked for it (sd_notify) that the server is ready.
func (p *program) notifyInit() {
	path, _ := p.env("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if name, ok := strings.CutPrefix(path, "@"); ok {
		path = "\x00" + name
	}
	conn, err := net.Dial("unixgram", path)
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(notifyTimeout)) // else it would wait for a daemon that does not read
		_, err = conn.Write([]byte("READY=1"))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		slog.Warn("the init daemon was not told that the server is ready", "error", err)
	}
}
