package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads an address of the form http://host:port or https://host:port. The host
// may be empty: to listen there means on all interfaces.
func ParseURL(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") { // url.Parse takes a host for a scheme or a path
		return nil, fmt.Errorf("%w: address %q must begin with http:// or https://", ErrConfig, raw)
	}
	u, err := url.Parse(raw)
	if bad := new(url.Error); errors.As(err, &bad) {
		err = bad.Err // the rest of it says the address once more
	}
	if err != nil {
		return nil, fmt.Errorf("%w: address %q: %w", ErrConfig, raw, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: address %q must begin with http:// or https://", ErrConfig, raw)
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil || port == "" {
		return nil, fmt.Errorf("%w: address %q must have a host and a port", ErrConfig, raw)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("%w: address %q has port %s; a port is a number from 1 to 65535", ErrConfig, raw, port)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%w: address %q must be scheme, host and port only", ErrConfig, raw)
	}
	return u, nil
}

// ParseURLs reads a comma-separated list of addresses (see ParseURL).
func ParseURLs(raw string) ([]*url.URL, error) {
	var urls []*url.URL
	for part := range strings.SplitSeq(raw, ",") {
		u, err := ParseURL(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// CheckDialable refuses an address that others are told and that nobody can connect to:
// one without a host, or whose host stands for all interfaces or for many hosts.
func CheckDialable(u *url.URL) error {
	if isSocket(u) {
		return nil
	}
	if u.Hostname() == "" {
		return fmt.Errorf("%w: nobody can connect to %s: it names no host", ErrConfig, u)
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil // a name
	}
	switch ip = ip.Unmap(); {
	case ip.IsUnspecified():
		return fmt.Errorf("%w: nobody can connect to %s: %s stands for all interfaces of a machine", ErrConfig, u, ip)
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%w: nobody can connect to %s: %s is no single host", ErrConfig, u, ip)
	}
	return nil
}
