package replica

import (
	"context"
	"log/slog"
	"time"

	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/state"
)

// duties is the goroutine that asks for what is due: a checkpoint of this member; and, of a leader, a compaction of what need
// not be kept, the quota, and the newest version of commands. It does
// not wait for what is written, removed or fetched, as upkeep does.
type duties struct {
	replica *Replica
	keep    state.Retention
	quota   int64 // Config.Quota
	known   func(raft.NodeID) (uint64, bool)
	log     *slog.Logger
	asked   time.Time // for a checkpoint
	background
}

const (
	// dutiesInterval is how often it looks what is due.
	dutiesInterval = time.Second
	// checkpointInterval is how often it asks for a checkpoint at most.
	checkpointInterval = 10 * time.Second
)

func (d *duties) run(ctx context.Context) {
	tick := time.NewTicker(dutiesInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.replica.Node.Done():
			return
		case <-tick.C:
			d.look()
		}
	}
}

func (d *duties) look() {
	r := d.replica
	if r.State.CheckpointWanted() && time.Since(d.asked) >= checkpointInterval {
		d.asked = time.Now()
		r.Node.Checkpoint()
	}
	if revision := r.State.CompactionDue(d.keep); revision != 0 && r.Node.Leads() {
		d.compact(revision)
	}
	d.setQuota()
	d.raiseVersion()
}

// compact proposes to compact. Where it is refused it will be due again.
func (d *duties) compact(revision uint64) {
	c := state.Command{More: &state.More{Kind: state.KindCompact, Revision: revision, Internal: true}}
	d.replica.Node.SubmitFunc(c, func(res state.Result, err error) {
		if err == nil && res.Code == kv.CodeOK {
			d.log.Info("history compacted", "revision", revision)
		}
	})
}

// setQuota proposes the quota where there is none. Where it is refused it will be due again.
func (d *duties) setQuota() {
	if !d.replica.lacksQuota() || !d.replica.Node.Leads() {
		return
	}
	d.replica.Node.SubmitFunc(d.quotaCommand(), func(res state.Result, err error) {
		if err == nil && res.Code == kv.CodeOK {
			d.log.Info("quota set", "bytes", d.quota)
		}
	})
}

func (r *Replica) lacksQuota() bool { return r.duties.quota != 0 && r.State.Figures().Quota == 0 }

func (d *duties) quotaCommand() state.Command {
	return state.Command{More: &state.More{Kind: state.KindQuota, Quota: d.quota, Internal: true}}
}

// firstCommand is rsm.Config.First: the quota is in force before the first write of a new cluster.
func (r *Replica) firstCommand() (c state.Command, ok bool) {
	return r.duties.quotaCommand(), r.lacksQuota()
}

// raiseVersion proposes the newest version of commands that all members know, if the cluster uses an
// older one.
func (d *duties) raiseVersion() {
	version := d.replica.State.KnownVersion()
	if d.known == nil || version <= d.replica.State.ClusterVersion() || !d.replica.Node.Leads() {
		return
	}
	members, _ := d.replica.Node.Configuration()
	for _, id := range members.Members() {
		if id == d.replica.id {
			continue
		}
		theirs, ok := d.known(id)
		if !ok {
			return
		}
		version = min(version, theirs)
	}
	if version <= d.replica.State.ClusterVersion() {
		return
	}
	c := state.Command{More: &state.More{Kind: state.KindVersion, Version: version, Internal: true}}
	d.replica.Node.SubmitFunc(c, func(res state.Result, err error) {
		if err == nil && res.Code == kv.CodeOK {
			d.log.Info("the cluster uses commands of a newer version", "version", version)
		}
	})
}
