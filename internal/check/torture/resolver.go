package main

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
)

// resolverAddress is the address of the rig's name server, in its own network.
const resolverAddress = "10.0.0.2"

// resolver is a DNS server that knows a few names. Its answers may not be kept.
type resolver struct {
	conn net.PacketConn
	done sync.WaitGroup

	mu    sync.Mutex
	names map[string]net.IP
}

func newResolver(address string) (*resolver, error) {
	conn, err := net.ListenPacket("udp4", address)
	if err != nil {
		return nil, err
	}
	r := &resolver{conn: conn, names: make(map[string]net.IP)}
	r.done.Go(func() {
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if reply := r.answer(query[:n]); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	})
	return r, nil
}

// set makes a name resolve to an address from now on.
func (r *resolver) set(name, address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = net.ParseIP(address).To4()
}

func (r *resolver) close() {
	r.conn.Close()
	r.done.Wait()
}

// From RFC 1035, section 4.1.
const (
	dnsHeader    = 12
	dnsTypeA     = 1
	dnsAnswer    = 0x8400 // a response, and authoritative
	dnsNoName    = 3
	dnsFirstName = 0xc00c // the name in the question
)

// answer returns the reply to a query with one question; nil if the query is not valid.
func (r *resolver) answer(query []byte) []byte {
	var labels []string
	end := dnsHeader
	for end < len(query) && query[end] > 0 {
		next := end + 1 + int(query[end])
		if next > len(query) {
			return nil
		}
		labels = append(labels, string(query[end+1:next]))
		end = next
	}
	end += 5 // the empty label, type and class
	if end > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end-4:])
	r.mu.Lock()
	ip := r.names[strings.ToLower(strings.Join(labels, "."))]
	r.mu.Unlock()

	flags, answers := uint16(dnsAnswer), uint16(0)
	switch {
	case ip == nil:
		flags |= dnsNoName
	case kind == dnsTypeA:
		answers = 1
	}
	reply := append([]byte(nil), query[:2]...)
	for _, field := range []uint16{flags, 1, answers, 0, 0} {
		reply = binary.BigEndian.AppendUint16(reply, field)
	}
	reply = append(reply, query[dnsHeader:end]...)
	if answers == 1 {
		reply = binary.BigEndian.AppendUint16(reply, dnsFirstName)
		reply = append(reply, 0, dnsTypeA, 0, 1, 0, 0, 0, 0, 0, byte(len(ip)))
		reply = append(reply, ip...)
	}
	return reply
}
