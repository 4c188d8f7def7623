package clerk

//balsa:pure

import (
	"fmt"
	"strconv"
	"strings"
)

// scheme is what an endpoint says about TLS.
type scheme uint8

const (
	anyScheme   scheme = iota // host:port alone
	plainScheme               // http://
	tlsScheme                 // https://
)

// parseEndpoint parses an endpoint, host:port or a URL with it. The address it returns is
// host:port in lower case, so that equal endpoints are equal strings.
func parseEndpoint(endpoint string) (address string, s scheme, err error) {
	rest := endpoint
	if before, after, ok := strings.Cut(endpoint, "://"); ok {
		switch strings.ToLower(before) {
		case "http":
			s = plainScheme
		case "https":
			s = tlsScheme
		default:
			return "", s, fmt.Errorf("endpoint %q: scheme %q is neither http nor https", endpoint, before)
		}
		rest = strings.TrimSuffix(after, "/")
	}
	host, port, ok := cutPort(rest)
	if !ok {
		return "", s, fmt.Errorf("endpoint %q: want host:port or http(s)://host:port", endpoint)
	}
	if host == "" || host == "[]" {
		return "", s, fmt.Errorf("endpoint %q: no host", endpoint)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", s, fmt.Errorf("endpoint %q: port %q is not a number from 1 to 65535", endpoint, port)
	}
	return strings.ToLower(host) + ":" + port, s, nil
}

// cutPort splits host:port at its last colon. An IPv6 host stands in brackets.
func cutPort(s string) (host, port string, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return "", "", false
	}
	host, port = s[:colon], s[colon+1:]
	name, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		name, ok = strings.CutSuffix(name, "]")
		return host, port, ok && !strings.ContainsAny(name, "[]/@ ")
	}
	return host, port, !strings.ContainsAny(host, ":[]/@? #")
}
