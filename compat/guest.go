package main

import (
	"context"
	"fmt"
	"strings"
)

// guest is a program that keeps its state in the servers: it asks them itself, as calls that it makes by
// itself could not be compared. end ends it.
type guest interface{ end() }

// suite is what runs together on one cluster: checks, with a guest or without.
type suite struct {
	name   string
	golden string // the file with the answers of etcd
	checks []check
	start  func(context.Context, *cluster, programs) (guest, error) // nil without one
	needs  func(programs) []target                                  // what is built for it
}

var suites = []suite{
	{golden: "testdata/etcd-3.7.3.txt", checks: allChecks()},
	{name: "kube", golden: "testdata/kube-1.36.3-etcd-3.7.3.txt", checks: kubeChecks, start: startAPIServer, needs: func(p programs) []target {
		return []target{{p.apiserver, "kube", "k8s.io/kubernetes/cmd/kube-apiserver"}, {p.kubectl, "kube", "k8s.io/kubernetes/cmd/kubectl"}}
	}},
	{name: "coredns", golden: "testdata/coredns-1.15.0-etcd-3.7.3.txt", checks: corednsChecks, start: startCoreDNS, needs: func(p programs) []target {
		return []target{{p.coredns, "coredns", "."}}
	}},
	{name: "patroni", golden: "testdata/patroni-3.0.2-etcd-3.7.3.txt", checks: patroniChecks, start: startPatroni},
}

// suitesOf are those that -with names.
func suitesOf(name string) (some []*suite, err error) {
	var names []string
	for i := range suites {
		if name == "all" || suites[i].name == name {
			some = append(some, &suites[i])
		}
		names = append(names, suites[i].name)
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("-with is %q; it can be all, or one of%s", name, strings.Join(names, " "))
	}
	return some, nil
}
