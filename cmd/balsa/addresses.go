package main

import (
	"fmt"
	"net/url"
	"strings"
)

// The default ports of dev, serve and the client commands, so that they find each other without
// flags. They differ from etcd's.
const (
	defaultBasePort = 23790 // clients of the first server; the next servers follow
	peerPortOffset  = 10    // from a server's client port to its peer port
	defaultServers  = 3
)

func loopback(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

func defaultEndpoints() []string {
	var endpoints []string
	for i := range defaultServers {
		endpoints = append(endpoints, loopback(defaultBasePort+i))
	}
	return endpoints
}

func join(urls []*url.URL) string {
	var all []string
	for _, u := range urls {
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}
