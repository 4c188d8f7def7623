package http

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// onlyHosts refuses requests that came without TLS and name another host than these. A web page whose
// name was made to point here could read the answers otherwise (DNS rebinding, CVE-2018-5702).
func onlyHosts(hosts []string, plain func(*http.Request) bool, next http.Handler) http.Handler {
	if len(hosts) == 0 || slices.Contains(hosts, "*") {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); plain(r) && !slices.Contains(hosts, host) {
			http.Error(w, fmt.Sprintf("the host %q is not on the list of those that may be named without TLS (--host-whitelist)", host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is a host without its port.
func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.Trim(hostPort, "[]")
}
