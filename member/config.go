package member

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"balsa.example/internal/certs"
	"balsa.example/internal/roster"
	"balsa.example/raft"
	"balsa.example/wal"
)

// Config says who a member is, where it keeps what it must not forget, and how it talks to
// the others. Name and Dir are required, and Cluster or Join.
type Config struct {
	// Name is this member's, one of those in Cluster.
	Name string
	// Cluster has the initial members. It is of use until the cluster has begun; a member that
	// joined later needs none.
	Cluster *Cluster
	// Join are where members of a running cluster may be found: host and port, each maybe as
	// name=host:port. With a new directory this server asks them to become a member, in place of
	// beginning a cluster. With another one they are asked who the members are now. One with the name of
	// this member is left out.
	Join []string
	// Expected says that the cluster was told of this member before, so that Join only claims the
	// place. Learner says that it is never to vote.
	Expected, Learner bool
	// Witness says that the member keeps no state (see rsm.Config.Witness). It has to join: a cluster
	// does not begin with a witness.
	Witness bool
	// Dir is the data directory, made if it does not exist. It belongs to this member for
	// ever: see package member.
	Dir string
	// MustExist refuses an empty Dir: the member has taken part before.
	MustExist bool

	// Listen is the host and port to listen on. Default: the first of Peers.
	// Listener is used instead if not nil; Close closes it.
	Listen   string
	Listener net.Listener
	// TLS protects the connections between members, with certificates from files.
	TLS TLS
	// SecretFile protects them in place of certificates: a file that holds a secret of at
	// least 32 random characters, which all members know and nobody else. Only its owner may
	// change the file, and nobody outside its group may read it (chmod 600).
	SecretFile string

	// Origin is a digest of the data with which the cluster begins, if a replica's data is in Dir
	// before (as directory state). Members with another one are not let in. Zero: it begins empty.
	Origin [16]byte

	// ElectionTimeout is that of the replica. A connection on which nothing has arrived for
	// so long and half a second is given up. Default 500 ms.
	ElectionTimeout time.Duration
	// MaxHandshakes bounds the connections whose other end is not known yet. Default 64.
	MaxHandshakes int
	// Peers are where the other members find this one, and Clients where its clients do: host
	// and port, or URLs. Members tell them to each other. Default: of Peers, those in Cluster.
	Peers, Clients []string
	// Attributes are told to the other members (transport.PeerStatus.Attributes), as they
	// are. At most 32 KiB.
	Attributes []byte

	// Answer, if not nil, answers the questions of other members (Member.Ask), at any time from when
	// the member is open. An answer is at most 32 KiB.
	Answer func(ctx context.Context, question []byte) ([]byte, error)

	// OnSnapshot, if not nil, is told of a state that begins to be sent to a member, or received from it, and what it
	// returns is called with how that ended.
	OnSnapshot func(peer raft.NodeID, sent bool) (end func(error))

	// Log are the options of the log; the file system in it is that of the whole directory.
	Log wal.Options
	// Logger gets news for operators. Default: none. Cluster.Logger makes one that shows
	// members by their names.
	Logger *slog.Logger
}

// TLS names the files of a member's certificate, in PEM. They may be renewed while the
// member runs. The zero value means no TLS.
type TLS struct {
	CertFile string
	KeyFile  string
	// CAFile holds the certificates that those of the other members must lead to. Empty:
	// the system's.
	CAFile string
	// ClientAuth demands a certificate of every member that connects, too. Without it
	// whoever reaches the port can speak for a member.
	ClientAuth bool
	// AllowedCNs and AllowedHostnames let in only members whose certificate has one of
	// these common names, or is good for one of these hosts. They replace the rule that a
	// certificate names its member. Both empty: no such list.
	AllowedCNs, AllowedHostnames []string
	// SharedHosts lets a certificate that is good for a host speak for every member that has
	// its address there. Without it such a certificate is good for none of them.
	SharedHosts bool
	// Unverified takes any certificate of another member. That keeps out who listens, and
	// nobody else.
	Unverified bool
	// RevokedFile lists certificates that are taken no more, as a CRL. Empty: none.
	RevokedFile string
	// MinVersion and MaxVersion are of TLS, as package crypto/tls has them; 0: TLS 1.2, and any
	// later one. CipherSuites are those of TLS 1.2; empty: Go's.
	MinVersion, MaxVersion uint16
	CipherSuites           []uint16
}

// about is what this member says of itself.
func (c *Config) about() roster.About {
	peers := c.Peers
	if self, ok := c.Cluster.Named(c.Name); ok && len(peers) == 0 {
		peers = self.addresses()
	}
	about := roster.About{Name: c.Name, Peers: peers, Clients: c.Clients}
	if c.Witness {
		about.Clients = nil // it answers none
	}
	return about
}

// proves tells whether who connects has to prove which member it is.
func (c *Config) proves() bool { return c.TLS.ClientAuth || c.SecretFile != "" }

func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Cluster == nil {
		c.Cluster = Running()
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = 500 * time.Millisecond
	}
	return c, c.check()
}

func (c *Config) check() error {
	switch {
	case c.Name == "":
		return fmt.Errorf("%w: name is empty", ErrConfig)
	case c.Dir == "":
		return fmt.Errorf("%w: data directory is empty", ErrConfig)
	case len(c.Cluster.Members) == 0 && len(c.Join) == 0:
		return fmt.Errorf("%w: the cluster has no members", ErrConfig)
	case len(c.about().Peers) == 0:
		return fmt.Errorf("%w: there is no address where other members find %q", ErrConfig, c.Name)
	case len(c.Join) > 0 && len(c.doors()) == 0:
		return fmt.Errorf("%w: join names no member but %s itself", ErrConfig, c.Name)
	case c.Witness && len(c.Join) == 0:
		return fmt.Errorf("%w: a witness joins a cluster that runs, and no member of one is named", ErrConfig)
	case c.ElectionTimeout < 0:
		return fmt.Errorf("%w: election timeout is %s", ErrConfig, c.ElectionTimeout)
	case len(c.Attributes) > maxAttributes:
		return fmt.Errorf("%w: attributes have %d bytes, at most %d are allowed", ErrConfig, len(c.Attributes), maxAttributes)
	case c.MaxHandshakes < 0:
		return fmt.Errorf("%w: max handshakes is %d", ErrConfig, c.MaxHandshakes)
	}
	if err := certs.TLS(c.TLS).Check(); err != nil {
		return fmt.Errorf("%w: %s %w", ErrConfig, peerSide, err)
	}
	if c.SecretFile != "" && certs.TLS(c.TLS).Enabled() {
		return fmt.Errorf("%w: there are a cluster secret and certificates of peers: one of the two protects the peer port", ErrConfig)
	}
	if _, ok := c.Cluster.Named(c.Name); !ok && len(c.Cluster.Members) > 0 {
		return fmt.Errorf("%w: name %q is not in the initial cluster (%v)", ErrConfig, c.Name, c.Cluster.Names())
	}
	if err := c.about().Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	for _, address := range c.Join {
		if err := CheckDialable(doorOf(address).address); err != nil {
			return fmt.Errorf("%w: join: %w", ErrConfig, err)
		}
	}
	return nil
}
