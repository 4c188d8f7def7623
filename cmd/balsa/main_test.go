package main

import (
	"strings"
	"testing"
)

func TestServesAlone(t *testing.T) {
	for line, want := range map[string]bool{
		"balsa":                     false,
		"balsa serve":               true,
		"balsa serve --name n1":     true,
		"balsa etcd --name serve":   true,
		"/usr/bin/etcd --name n1":   true,
		"etcd":                      true,
		"balsa --some-flag serve":   true,
		"balsa get serve":           false,
		"balsa dev":                 false,
		"balsa --endpoints e serve": false, // it is a server's, but that would have to be parsed first
	} {
		if got := servesAlone(strings.Fields(line)); got != want {
			t.Errorf("%q runs a server alone: %v, want %v", line, got, want)
		}
	}
}
