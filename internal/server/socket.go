package server

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// The schemes of sockets in the file system: unix://PATH is plain, unixs://PATH has TLS.
const (
	unixPlain = "unix"
	unixTLS   = "unixs"
)

// isSocket tells whether an address is a socket in the file system.
func isSocket(u *url.URL) bool { return u.Scheme == unixPlain || u.Scheme == unixTLS }

// ParseClientURLs reads a comma-separated list of addresses for clients: those of ParseURLs, and
// unix://PATH or unixs://PATH. PATH begins in the working directory unless it begins with a slash.
func ParseClientURLs(raw string) ([]*url.URL, error) {
	var urls []*url.URL
	for part := range strings.SplitSeq(raw, ",") {
		part = strings.TrimSpace(part)
		scheme, path, _ := strings.Cut(part, "://")
		if scheme != unixPlain && scheme != unixTLS {
			u, err := ParseURL(part)
			if err != nil {
				return nil, err
			}
			urls = append(urls, u)
			continue
		}
		switch {
		case path == "" || strings.HasSuffix(path, "/"):
			return nil, fmt.Errorf("%w: address %q names no file", ErrConfig, part)
		case len(path) > maxSocketPath:
			return nil, fmt.Errorf("%w: address %q has a path of %d bytes; a socket's may have %d", ErrConfig, part, len(path), maxSocketPath)
		}
		host, rest, _ := strings.Cut(path, "/")
		u := &url.URL{Scheme: scheme, Host: host}
		if rest != "" {
			u.Path = "/" + rest
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// maxSocketPath is what the address of a socket has room for, on Linux and with a byte less on
// others.
const maxSocketPath = 103

// socketPath is the file of a socket.
func socketPath(u *url.URL) string { return u.Host + u.Path }

// listenOn opens one address.
func listenOn(u *url.URL) (net.Listener, error) {
	if !isSocket(u) {
		return net.Listen("tcp", u.Host)
	}
	path := socketPath(u)
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && isAbandoned(path) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the socket of a server that has ended: %w", err)
		}
		l, err = net.Listen("unix", path)
	}
	return l, err
}

// isAbandoned tells whether a file is a socket on which nobody listens: that of a server that was
// killed.
func isAbandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
