package member

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"balsa.example/internal/roster"
)

func TestNewCluster(t *testing.T) {
	c, err := NewCluster("token", map[string]string{"n3": "10.0.0.3:2380", "n1": "10.0.0.1:2380", "n2": "10.0.0.2:2380"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Names(), " "); got != "n1 n2 n3" {
		t.Errorf("names %s", got)
	}
	n2, ok := c.Named("n2")
	if !ok || n2.Address != "10.0.0.2:2380" || n2.ID != NodeID("token", "n2") {
		t.Errorf("n2 is %+v", n2)
	}
	if others := c.Others(n2.ID); len(others) != 2 || others[0].Name != "n1" || others[1].Name != "n3" {
		t.Errorf("others of n2: %+v", others)
	}
}

func TestGroupDependsOnTokenAndNamesAlone(t *testing.T) {
	id := func(token, name1, address1, name2, address2 string) uint64 {
		t.Helper()
		c, err := NewCluster(token, map[string]string{name1: address1, name2: address2})
		if err != nil {
			t.Fatal(err)
		}
		return c.Group
	}
	base := id("t", "a", "h:1", "b", "h:2")
	if id("t", "b", "h:3", "a", "other:4") != base {
		t.Error("other addresses make another cluster")
	}
	if id("u", "a", "h:1", "b", "h:2") == base {
		t.Error("another token makes the same cluster")
	}
	if id("t", "a", "h:1", "c", "h:2") == base {
		t.Error("another name makes the same cluster")
	}
	if NodeID("t", "a") == NodeID("u", "a") || NodeID("t", "a") == NodeID("t", "b") {
		t.Error("ids of different members are equal")
	}
}

func TestNewClusterRefuses(t *testing.T) {
	for _, test := range []struct {
		members map[string]string
		want    string
	}{
		{nil, "no members"},
		{manyMembers(roster.MaxMembers + 1), "at most 32"},
		{map[string]string{"": "h:1"}, "has no name"},
		{map[string]string{strings.Repeat("a", roster.MaxName+1): "h:1"}, "257 bytes"},
		{map[string]string{"a": "h"}, "host and a port"},
		{map[string]string{"a": "h:"}, "host and a port"},
		{map[string]string{"a": ":1"}, "it names no host"},
		{map[string]string{"a": "0.0.0.0:1"}, "all interfaces"},
		{map[string]string{"a": "[::]:1"}, "all interfaces"},
		{map[string]string{"a": "255.255.255.255:1"}, "no single host"},
		{map[string]string{"a": "h:0"}, "from 1 to 65535"},
		{map[string]string{"a": "h:x"}, "from 1 to 65535"},
		{map[string]string{"a": "h:1", "b": "h:1"}, "same address"},
	} {
		_, err := NewCluster("token", test.members)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %q", test.members, err, test.want)
		}
	}
}

func manyMembers(n int) map[string]string {
	all := make(map[string]string)
	for i := range n {
		all[fmt.Sprint("n", i)] = fmt.Sprint("h:", i+1)
	}
	return all
}
