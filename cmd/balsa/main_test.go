package main

import (
	"strings"
	"testing"
)

func TestServes(t *testing.T) {
	for line, want := range map[string]bool{
		"balsa":                     false,
		"balsa serve":               true,
		"balsa serve --name n1":     true,
		"balsa etcd --name serve":   true,
		"/usr/bin/etcd --name n1":   true,
		"etcd":                      true,
		"balsa --some-flag serve":   true,
		"balsa get serve":           false,
		"balsa dev":                 true,
		"balsa dev --nodes 1":       true,
		"balsa --endpoints e serve": false, // it is a server's, but that would have to be parsed first
	} {
		if got := serves(strings.Fields(line)); got != want {
			t.Errorf("%q runs servers: %v, want %v", line, got, want)
		}
	}
}
