package balsa

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"balsa.example/member"
	"balsa.example/rsm"
	"balsa.example/vfs"
)

// Config says how to run a member. Name, Dir, Codec, Machine or Durable, and Members or Join
// with Address, are required.
type Config[Op, Result any] struct {
	// Name is this member's, one of those in Members.
	Name string
	// Members has the names of all members, and the host and port where each finds the
	// others. All members must be given the same names. They are those that the cluster begins
	// with: once it has begun, others may join, and members may be removed and move.
	Members map[string]string
	// Join makes this a member of a cluster that runs: it is where some of the members are found,
	// host and port, each maybe as name=host:port. With a new Dir the member asks them to be let in,
	// gets the state, and then votes, unless Learner says that it never does. Members may be empty.
	Join    []string
	Learner bool
	// Address is the host and port where the others find this member; default: that in Members.
	// It may be another one at each start: the others are told.
	Address string
	// Dir is the data directory, made if it does not exist. It belongs to this member for
	// ever: the others do not admit one whose directory was emptied.
	Dir string
	// Machine is what is replicated, in the state of a new cluster: it is brought up to
	// date from Dir. A machine that keeps its own durable state is Durable instead.
	Machine rsm.StateMachine[Op, Result]
	Durable rsm.DurableMachine[Op, Result]
	// Codec turns operations into bytes and back.
	Codec rsm.Codec[Op]

	// Token tells clusters apart whose members have the same names. May be empty.
	Token string
	// MustExist refuses an empty Dir: the member has taken part before.
	MustExist bool
	// Listen is the host and port to listen on. Default: the own address in Members.
	Listen string
	// SecretFile encrypts what members tell each other, and lets in nobody else: a file with
	// a secret that all members share and that has at least 32 random characters. Only its
	// owner may change the file, and nobody outside its group may read it (chmod 600). TLS
	// does the same with certificates, which members demand of each other, so that CAFile is
	// needed, and each certificate names its member. One of the two is needed wherever others
	// can reach the network. Both kinds of files may be renewed while the member runs.
	SecretFile string
	TLS        member.TLS

	// The following are rsm.Config's, with the same defaults.
	HeartbeatInterval, ElectionTimeout time.Duration
	MaxRaftState                       int64
	MaxOpBytes                         int
	LeaseReads                         bool

	// Logger gets news for operators. Default: none.
	Logger *slog.Logger

	// For tests.
	listener    net.Listener  // in place of Listen
	fs          vfs.FS        // in place of the operating system's
	stopTimeout time.Duration // in place of the six seconds of Stop
}

func (c Config[Op, Result]) withDefaults() (Config[Op, Result], *member.Cluster, error) {
	if c.Codec == nil || (c.Machine == nil) == (c.Durable == nil) {
		return c, nil, fmt.Errorf("%w: Codec is needed, and Machine or Durable", member.ErrConfig)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.stopTimeout == 0 {
		c.stopTimeout = stopTimeout
	}
	cluster := member.Running()
	if len(c.Join) == 0 || len(c.Members) > 0 {
		var err error
		if cluster, err = member.NewCluster(c.Token, c.Members); err != nil {
			return c, nil, err
		}
	}
	if _, ok := cluster.Named(c.Name); !ok && len(c.Members) > 0 {
		return c, nil, fmt.Errorf("%w: name %q is not in Members (%v)", member.ErrConfig, c.Name, cluster.Names())
	}
	if err := c.settings().Check(); err != nil {
		return c, nil, fmt.Errorf("%w: %w", member.ErrConfig, err)
	}
	if c.TLS.CertFile != "" {
		c.TLS.ClientAuth = true
	}
	return c, cluster, nil
}

// peers are where the other members find this one, if it was told.
func (c Config[Op, Result]) peers() []string {
	if c.Address == "" {
		return nil
	}
	return []string{c.Address}
}

// settings is the configuration of the replica, without what it stands on.
func (c Config[Op, Result]) settings() rsm.Config[Op, Result] {
	return rsm.Config[Op, Result]{
		Machine: c.Machine, Durable: c.Durable, Codec: c.Codec,
		HeartbeatInterval: c.HeartbeatInterval, ElectionTimeout: c.ElectionTimeout,
		MaxRaftState: c.MaxRaftState, MaxOpBytes: c.MaxOpBytes, LeaseReads: c.LeaseReads,
		Logger: c.Logger,
	}
}
