package member

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"balsa.example/internal/roster"
	"balsa.example/raft"
)

// ErrConfig is every error about what a member was told: names, addresses, files. It is
// found before anything on disk is touched.
var ErrConfig = errors.New("bad configuration")

// maxAttributes is what package transport can tell another member, in bytes.
const maxAttributes = 32 << 10

// Spec is one initial member of a cluster.
type Spec struct {
	ID   raft.NodeID
	Name string
	// Address is the host and port where the other members find this one. It may be several,
	// with commas between them.
	Address string
}

// addresses are the parts of Address.
func (s Spec) addresses() []string { return strings.Split(s.Address, ",") }

// Cluster is the membership that a cluster begins with, and the names of those who became
// members later. All initial members must be given the same one. It is not the cluster's
// identity, which is drawn at random when the cluster begins: two that began apart may have the
// same names.
type Cluster struct {
	Group   uint64 // made of the token and the names: who is to begin together
	Token   string
	Members []Spec // sorted by name, none twice; none if this server joins a cluster
	later   *names
}

// Running is a cluster that has begun, of which a server was told no members.
func Running() *Cluster { return &Cluster{later: new(names)} }

// NewCluster describes the cluster of the members with these names and addresses (host
// and port). The token tells clusters apart that have the same names; it may be empty.
func NewCluster(token string, addresses map[string]string) (*Cluster, error) {
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%w: the cluster has no members", ErrConfig)
	}
	c := &Cluster{Token: token, later: new(names)}
	names := slices.Sorted(maps.Keys(addresses))
	for _, name := range names {
		c.Members = append(c.Members, Spec{ID: NodeID(token, name), Name: name, Address: addresses[name]})
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Group = hashID("cluster", token, names...)
	return c, nil
}

func (c *Cluster) check() error {
	if n := len(c.Members); n > roster.MaxMembers {
		return fmt.Errorf("%w: the cluster has %d members, at most %d are possible", ErrConfig, n, roster.MaxMembers)
	}
	names := make(map[string]string) // by address
	ids := make(map[raft.NodeID]string)
	for _, m := range c.Members {
		if m.Name == "" {
			return fmt.Errorf("%w: a member of the cluster has no name", ErrConfig)
		}
		if len(m.Name) > roster.MaxName {
			return fmt.Errorf("%w: the name %.32q... of a member has %d bytes, at most %d are allowed", ErrConfig, m.Name, len(m.Name), roster.MaxName)
		}
		if other, ok := ids[m.ID]; ok {
			return fmt.Errorf("%w: the ids of members %s and %s collide; rename one", ErrConfig, other, m.Name)
		}
		ids[m.ID] = m.Name
		for _, address := range m.addresses() {
			if err := CheckDialable(address); err != nil {
				return fmt.Errorf("%w: member %s: %w", ErrConfig, m.Name, err)
			}
			switch other, ok := names[address]; {
			case ok && other == m.Name:
				return fmt.Errorf("%w: member %s has the address %s twice", ErrConfig, m.Name, address)
			case ok:
				return fmt.Errorf("%w: members %s and %s have the same address %s", ErrConfig, other, m.Name, address)
			}
			names[address] = m.Name
		}
	}
	return nil
}

// CheckDialable refuses an address that others are told and that nobody can connect to:
// one without host or port, or whose host stands for all interfaces or for many hosts.
func CheckDialable(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return fmt.Errorf("address %q must have a host and a port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address %q has port %s; a port is a number from 1 to 65535", address, port)
	}
	if host == "" {
		return fmt.Errorf("nobody can connect to %s: it names no host", address)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil // a name
	}
	switch ip = ip.Unmap(); {
	case ip.IsUnspecified():
		return fmt.Errorf("nobody can connect to %s: %s stands for all interfaces of a machine", address, ip)
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("nobody can connect to %s: %s is no single host", address, ip)
	}
	return nil
}

// String gives the members as name=address, separated by commas.
func (c *Cluster) String() string {
	var all []string
	for _, m := range c.Members {
		all = append(all, m.Name+"="+m.Address)
	}
	return strings.Join(all, ",")
}

// Member finds a member by id.
func (c *Cluster) Member(id raft.NodeID) (Spec, bool) {
	for _, m := range c.Members {
		if m.ID == id {
			return m, true
		}
	}
	return Spec{}, false
}

// Named finds a member by name.
func (c *Cluster) Named(name string) (Spec, bool) {
	for _, m := range c.Members {
		if m.Name == name {
			return m, true
		}
	}
	return Spec{}, false
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

// roster has the initial members.
func (c *Cluster) roster() (r roster.Roster) {
	for _, m := range c.Members {
		r = r.With(roster.Member{ID: m.ID, About: roster.About{Name: m.Name, Peers: m.addresses()}})
	}
	return r
}

// Others returns every member but self.
func (c *Cluster) Others(self raft.NodeID) []Spec {
	return slices.DeleteFunc(slices.Clone(c.Members), func(m Spec) bool { return m.ID == self })
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
