package state

import (
	"cmp"
	"errors"
	"fmt"

	"balsa.example/kv"
	"balsa.example/rsm"
)

// Version is the newest version of commands that this program knows, and can write files of:
//
//	1   all kinds up to KindAuth; small files up to format 2
//	2   KindVersion; small files of format 3
//	3   KindAlarm, and what the quota has refused last is part of the state; small files of format 4
//
// A new kind of command, or a new field of one, gets the next number, and a line in kindVersions.
//
// A program that does not know a command in the log cannot execute it, and must not guess: it stops. So no member
// may propose what another one does not know. The cluster has a version, which is part of the replicated
// state. It begins with 1. When all members have told that they know a later one the leader raises it by a
// command, and from then on each member refuses what is beyond it (Refuse). It never falls: an older
// program than it is refused by the files.
const Version = 3

const (
	firstVersion = 1
	alarmVersion = 3
)

// kindVersions has the kinds that are not of the first version.
var kindVersions = map[Kind]uint64{KindVersion: 2, KindAlarm: alarmVersion}

// version returns the first version that knows the kind.
func (k Kind) version() uint64 { return cmp.Or(kindVersions[k], firstVersion) }

// known returns the version of a program that says it knows a version, 0 standing for this program.
func known(version uint64) uint64 { return cmp.Or(version, Version) }

// ErrVersion refuses a command that not all members of the cluster are known to understand.
var ErrVersion = errors.New("state: the cluster does not use such commands yet")

// ClusterVersion is the version of commands that the cluster uses, and KnownVersion the one that this
// member knows.
func (m *Machine) ClusterVersion() uint64 { return m.present.Load().clusterVersion() }
func (m *Machine) KnownVersion() uint64   { return known(m.cfg.Version) }

func (p *present) clusterVersion() uint64 { return max(p.version.Load(), firstVersion) }

// raiseVersion executes a KindVersion. What the quota had refused before was not the same on all replicas: each
// had forgotten it at its last start.
func (p *present) raiseVersion(version uint64) Result {
	if before := p.clusterVersion(); version > before {
		p.version.Store(version)
		if before < alarmVersion {
			p.refused.Store(0)
		}
	}
	return p.refusal(kv.CodeOK)
}

// Refuse returns ErrVersion for a command that must not be proposed yet, and rsm.ErrTooLarge, which is kv.ErrTooManyLooks
// as well, for a transaction that takes more than kv.MaxLooks, and rsm.ErrBusy for one whose looks cannot be counted, as
// the index is not there. KindVersion itself is proposed by a leader that knows of all members.
func (m *Machine) Refuse(c Command) error {
	if c.More == nil || c.More.Kind == KindVersion {
		return nil
	}
	if need, has := c.More.Kind.version(), m.ClusterVersion(); need > has {
		return fmt.Errorf("%w: they are of version %d, and it uses version %d; upgrade all of its members", ErrVersion, need, has)
	}
	if c.More.Txn == nil {
		return nil
	}
	n, err := reading(m, func(keys *kv.Store) (int64, error) { return keys.Looks(c.More.Txn), nil })
	if err != nil {
		return fmt.Errorf("%w: %w", rsm.ErrBusy, err)
	}
	if n > kv.MaxLooks {
		return fmt.Errorf("%w: %w: %d, by compares and deletes of ranges, or ranges that are sorted, filtered or of an old revision",
			rsm.ErrTooLarge, kv.ErrTooManyLooks, n)
	}
	return nil
}

// ErrNewer refuses what a newer program has written: it is in order, and this program cannot read it.
var ErrNewer = errors.New("state: a newer program has written it")

// usableBy refuses the state of a cluster that uses commands which a program of a version does not know.
func (s *small) usableBy(version uint64) error {
	if s.version > known(version) {
		return fmt.Errorf("%w: the cluster uses commands of version %d, and this program knows up to %d: use a newer one", ErrNewer, s.version, known(version))
	}
	return nil
}

// unknownKind is the error of a command that cannot be decoded.
func unknownKind(k Kind, version uint64) error {
	return fmt.Errorf("state: command is of kind %d, and this program knows those of version %d: a newer one has proposed it; use that", k, version)
}
