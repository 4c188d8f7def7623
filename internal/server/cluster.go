package server

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"balsa.example/raft"
)

// ErrConfig is every error about what a server was told: flags, names, addresses.
// It is found before anything on disk is touched.
var ErrConfig = errors.New("bad configuration")

// Member is one server of a cluster as its configuration names it.
type Member struct {
	ID      raft.NodeID
	Name    string
	PeerURL *url.URL // http or https, host and port
}

// Cluster is the fixed membership that a cluster starts with. All its servers must
// be given the same one. It is not the cluster's identity: two that were begun apart may
// have the same names (see package birth).
type Cluster struct {
	Group   uint64 // made from the token and the names: who is to begin together
	Token   string
	Members []Member // sorted by name, none twice
}

// ParseCluster reads a membership of the form
//
//	n1=http://10.0.0.1:23800,n2=http://10.0.0.2:23800,n3=http://10.0.0.3:23800
//
// The token tells clusters apart that have the same names.
func ParseCluster(token, members string) (*Cluster, error) {
	c := &Cluster{Token: token}
	for part := range strings.SplitSeq(members, ",") {
		m, err := parseMember(token, strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		c.Members = append(c.Members, m)
	}
	slices.SortFunc(c.Members, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	if err := c.check(); err != nil {
		return nil, err
	}
	names := make([]string, len(c.Members))
	for i, m := range c.Members {
		names[i] = m.Name
	}
	c.Group = hashID("cluster", token, names...)
	return c, nil
}

func parseMember(token, part string) (Member, error) {
	name, raw, ok := strings.Cut(part, "=")
	if !ok || name == "" {
		return Member{}, fmt.Errorf("%w: initial cluster: %q is not of the form name=http://host:port", ErrConfig, part)
	}
	u, err := ParseURL(raw)
	if err == nil {
		err = CheckDialable(u)
	}
	if err != nil {
		return Member{}, fmt.Errorf("initial cluster: member %s: %w", name, err)
	}
	return Member{ID: NodeID(token, name), Name: name, PeerURL: u}, nil
}

func (c *Cluster) check() error {
	hosts := make(map[string]string)
	ids := make(map[raft.NodeID]string)
	for _, m := range c.Members {
		if other, ok := ids[m.ID]; ok {
			if other == m.Name {
				return fmt.Errorf("%w: initial cluster: member %s is named twice", ErrConfig, m.Name)
			}
			return fmt.Errorf("%w: initial cluster: the ids of %s and %s collide; rename one", ErrConfig, other, m.Name)
		}
		if other, ok := hosts[m.PeerURL.Host]; ok {
			return fmt.Errorf("%w: initial cluster: %s and %s have the same address %s", ErrConfig, other, m.Name, m.PeerURL.Host)
		}
		ids[m.ID], hosts[m.PeerURL.Host] = m.Name, m.Name
	}
	return nil
}

// String gives the members in ParseCluster's form.
func (c *Cluster) String() string {
	var all []string
	for _, m := range c.Members {
		all = append(all, m.Name+"="+m.PeerURL.String())
	}
	return strings.Join(all, ",")
}

// Member finds a member by id.
func (c *Cluster) Member(id raft.NodeID) (Member, bool) {
	for _, m := range c.Members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Named finds a member by name.
func (c *Cluster) Named(name string) (Member, bool) {
	for _, m := range c.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Member{}, false
}

// nameOf is a member's name, or the id if there is no such member.
func (c *Cluster) nameOf(id raft.NodeID) string {
	if m, ok := c.Member(id); ok {
		return m.Name
	}
	return id.String()
}

// Names returns the names of all members, sorted.
func (c *Cluster) Names() []string {
	names := make([]string, len(c.Members))
	for i, m := range c.Members {
		names[i] = m.Name
	}
	return names
}

// IDs returns the ids of all members, in the order of their names.
func (c *Cluster) IDs() []raft.NodeID {
	ids := make([]raft.NodeID, len(c.Members))
	for i, m := range c.Members {
		ids[i] = m.ID
	}
	return ids
}

// Others returns every member but self.
func (c *Cluster) Others(self raft.NodeID) []Member {
	return slices.DeleteFunc(slices.Clone(c.Members), func(m Member) bool { return m.ID == self })
}

// NodeID is the id of the member of that name, in the cluster of that token.
func NodeID(token, name string) raft.NodeID {
	return raft.NodeID(hashID("member", token, name))
}

// hashID makes a 64-bit id, never 0, of strings. Each goes in with its length, so
// that no two lists look alike.
func hashID(kind, token string, names ...string) uint64 {
	var b []byte
	for _, s := range append([]string{"balsa " + kind, token}, names...) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return max(binary.BigEndian.Uint64(sum[:8]), 1)
}
