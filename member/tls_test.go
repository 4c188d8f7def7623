package member

import (
	"crypto/x509"
	"net"
	"testing"

	"balsa.example/internal/roster"
)

func TestWhomACertificateNames(t *testing.T) {
	cluster, err := NewCluster("t", map[string]string{"n1": "10.0.0.1:1", "n2": "db2.example.com:1", "n3": "10.0.0.3:1", "n4": "10.0.0.3:2"})
	if err != nil {
		t.Fatal(err)
	}
	ip := func(s string) []net.IP { return []net.IP{net.ParseIP(s)} }
	for member, tests := range map[string][]struct {
		cert   x509.Certificate
		want   bool
		shared bool // hosts are
	}{
		"n1": {
			{x509.Certificate{DNSNames: []string{"n1"}}, true, false},
			{x509.Certificate{IPAddresses: ip("10.0.0.1")}, true, false},
			{x509.Certificate{IPAddresses: ip("10.0.0.2"), DNSNames: []string{"n2"}}, false, false},
			{x509.Certificate{}, false, false},
		},
		"n2": {
			{x509.Certificate{DNSNames: []string{"db2.example.com"}}, true, false},
			{x509.Certificate{DNSNames: []string{"*.example.com"}}, true, false},
			{x509.Certificate{DNSNames: []string{"db1.example.com", "example.com"}}, false, false},
		},
		"n3": {
			{x509.Certificate{IPAddresses: ip("10.0.0.3")}, false, false}, // or n4's
			{x509.Certificate{IPAddresses: ip("10.0.0.3"), DNSNames: []string{"n3"}}, true, false},
			{x509.Certificate{IPAddresses: ip("10.0.0.3")}, true, true},
			{x509.Certificate{IPAddresses: ip("10.0.0.1")}, false, true},
		},
	} {
		m, _ := cluster.Named(member)
		for _, test := range tests {
			if err := certifies(&test.cert, m.ID, roster.About{Name: m.Name, Peers: m.addresses()}, cluster.roster(), test.shared); (err == nil) != test.want {
				t.Errorf("%s: names %v, %v: %v", member, test.cert.DNSNames, test.cert.IPAddresses, err)
			}
		}
	}
}
