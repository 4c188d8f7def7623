package server

import (
	"errors"
	"strings"
	"testing"

	"balsa.example/member"
)

func TestParseCluster(t *testing.T) {
	const urls = "n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380"
	c, err := ParseCluster("token", urls)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Names(), " "); got != "n1 n2 n3" {
		t.Errorf("names %s", got)
	}
	n2, ok := c.Named("n2")
	if !ok || n2.Address != "10.0.0.2:2380" || c.PeerURLs("n2")[0].String() != "http://10.0.0.2:2380" || n2.ID != member.NodeID("token", "n2") {
		t.Errorf("n2 is %+v", n2)
	}
	if others := c.Others(n2.ID); len(others) != 2 || others[0].Name != "n1" || others[1].Name != "n3" {
		t.Errorf("others of n2: %+v", others)
	}
}

func TestNameThatComesTwiceHasSeveralAddresses(t *testing.T) {
	const urls = "n1=http://10.0.0.1:2380,n1=http://10.1.0.1:2380,n2=http://10.0.0.2:2380"
	c, err := ParseCluster("token", urls)
	if err != nil {
		t.Fatal(err)
	}
	n1, ok := c.Named("n1")
	if !ok || len(c.Members) != 2 || n1.Address != "10.0.0.1:2380,10.1.0.1:2380" || len(c.PeerURLs("n1")) != 2 {
		t.Errorf("n1 is %+v at %v of %d members", n1, c.PeerURLs("n1"), len(c.Members))
	}
	if c.String() != urls {
		t.Errorf("written as %s", c)
	}
}

func TestParseClusterRefuses(t *testing.T) {
	for _, test := range []struct{ members, want string }{
		{"", "not of the form"},
		{"http://h:1", "not of the form"},
		{"=http://h:1", "not of the form"},
		{"a", "not of the form"},
		{"a=h:1", "must begin with http"},
		{"a=http://h", "host and a port"},
		{"a=http://:1", "it names no host"},
		{"a=http://0.0.0.0:1", "all interfaces"},
		{"a=http://[::]:1", "all interfaces"},
		{"a=http://255.255.255.255:1", "no single host"},
		{"a=http://h:0", "from 1 to 65535"},
		{"a=http://h:65536", "from 1 to 65535"},
		{"a=http://h:1/path", "scheme, host and port only"},
		{"a=http://h:1,a=http://h:1", "address h:1 twice"},
		{"a=http://h:1,a=http://h:2,b=http://h:2", "same address"},
		{"a=http://h:1,b=http://h:1", "same address"},
		{"a=http://h:1,,b=http://h:2", "not of the form"},
	} {
		_, err := ParseCluster("token", test.members)
		front := ErrConfig.Error() + ": initial cluster: "
		if !errors.Is(err, ErrConfig) || !strings.HasPrefix(err.Error(), front) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.members, err, test.want)
		}
	}
}
