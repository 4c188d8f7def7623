package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// coredns is a CoreDNS that answers from the keys below /skydns.
type coredns struct{ server }

func startCoreDNS(ctx context.Context, c *cluster, p programs) (guest, error) {
	port, err := c.ports(1)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(c.dir, "coredns")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var endpoints []string
	for _, s := range c.servers {
		endpoints = append(endpoints, "http://"+s.endpoint)
	}
	config := filepath.Join(dir, "Corefile")
	text := fmt.Sprintf(".:%d {\n bind 127.0.0.1\n errors\n etcd compat.example {\n  path /skydns\n  endpoint %s\n }\n}\n", port, strings.Join(endpoints, " "))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	d := &coredns{server{name: "coredns", program: p.coredns, log: filepath.Join(dir, "log"), endpoint: loopback(port), args: []string{"-conf", config}}}
	return d, d.start()
}

func (d *coredns) end() { d.stop(syscall.SIGKILL) }

// lookup asks for the addresses of a name.
func (d *coredns) lookup(ctx context.Context, name string) (string, error) {
	addresses, err := d.resolver().LookupHost(ctx, name+".compat.example.")
	slices.Sort(addresses)
	return strings.Join(addresses, " "), err
}

func (d *coredns) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, d.endpoint)
	}}
}

var corednsChecks = []check{
	{name: "coredns/records", loose: true, run: func(t *T) {
		d := t.cluster.guest.(*coredns)
		t.record("a", `{"host":"192.0.2.1","ttl":60}`)
		t.record("web/x1", `{"host":"192.0.2.2"}`)
		t.record("web/x2", `{"host":"192.0.2.3"}`)
		t.record("web/x3", `{"host":"2001:db8::1"}`)
		t.record("alias", `{"host":"a.compat.example"}`)
		t.record("words", `{"text":"some words"}`)
		t.record("_tcp/_http/s1", `{"host":"192.0.2.4","port":8080,"priority":7,"weight":3}`)
		t.record("broken", `{`)
		t.awaitName("a", "192.0.2.1")
		for _, name := range []string{"a", "web", "x1.web", "alias", "none", "broken"} {
			addresses, err := d.lookup(t.ctx, name)
			t.say("host "+name, "%s, not found %t", addresses, isNotFound(err))
		}
		words, err := d.resolver().LookupTXT(t.ctx, "words.compat.example.")
		t.say("words", "%q %v", words, err)
		_, services, err := d.resolver().LookupSRV(t.ctx, "http", "tcp", "compat.example.")
		t.say("service", "%d %v", len(services), err)
		for _, s := range services {
			t.say("service", "%+v", *s)
		}
		t.record("a", `{"host":"192.0.2.9"}`)
		t.awaitName("a", "192.0.2.9")
		_, err = t.client.Delete(t.ctx, "/skydns/example/compat/a")
		t.fail("delete", err)
		t.awaitName("a", "")
	}},
	{name: "coredns/lease", loose: true, run: func(t *T) {
		grant, err := t.client.Grant(t.ctx, 3)
		t.fail("grant", err)
		t.record("leased", `{"host":"192.0.2.5"}`, clientv3.WithLease(grant.ID))
		t.awaitName("leased", "192.0.2.5")
		t.awaitName("leased", "")
	}},
	{name: "coredns/killed-members", loose: true, run: func(t *T) {
		d := t.cluster.guest.(*coredns)
		t.record("stays", `{"host":"192.0.2.6"}`)
		t.awaitName("stays", "192.0.2.6")
		for i, s := range t.cluster.servers {
			s.stop(syscall.SIGKILL)
			t.awaitName("stays", "192.0.2.6") // an election may have to come first
			for range 20 {
				if addresses, err := d.lookup(t.ctx, "stays"); addresses != "192.0.2.6" {
					t.say("lookup", "%s %v", addresses, err)
				}
			}
			t.fail("start", s.start())
			t.fail("ready", s.awaitReady(t.ctx))
			t.say("member killed", "%d", i)
		}
	}},
}

// record puts what CoreDNS reads of a name, whose parts stand in turn there.
func (t *T) record(path, value string, opts ...clientv3.OpOption) {
	_, err := t.client.Put(t.ctx, "/skydns/example/compat/"+path, value, opts...)
	t.fail("put "+path, err)
}

// awaitName says when a name has an address, or none if that is empty.
func (t *T) awaitName(name, address string) {
	d := t.cluster.guest.(*coredns)
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(100 * time.Millisecond) {
		got, err := d.lookup(t.ctx, name)
		if got == address && (err == nil || address == "" && isNotFound(err)) {
			t.say("then "+name, "%q", got)
			return
		}
	}
	t.say("then "+name, "never %q", address)
}

func isNotFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}
