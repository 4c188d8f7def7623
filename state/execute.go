package state

import (
	"errors"

	"balsa.example/kv"
	"balsa.example/state/lease"
)

// expiryBudget bounds how many leases and keys one Tick removes, about 10 ms of work. A lease
// with more keys goes in one Tick all the same.
const expiryBudget = 1000

// DoOp executes a command. What makes no sense is refused, in the same way on each replica.
func (m *Machine) DoOp(c Command) (r Result) {
	p := m.present.Load()
	if c.More == nil {
		r = p.single(&c)
	} else {
		var err error
		if r, err = p.more(c); err != nil {
			m.repairForRestart(err)
			m.failure.CompareAndSwap(nil, &err)
		}
	}
	if m.executed != nil {
		m.executed.add(c.name(), r.Code)
	}
	m.boundUnwritten(p)
	return r
}

// single executes a command that is an operation on one key and nothing else.
func (p *present) single(c *Command) Result {
	if p.users.table().Enabled() {
		return p.refusal(kv.CodeNoUser)
	}
	if code := p.alarms.refuse(c); code != kv.CodeOK {
		return p.refusal(code)
	}
	return Result{Result: p.operation(c.Op)}
}

// Prepare is part of rsm.Preparer: operations on one key find theirs by one look at the index.
func (m *Machine) Prepare(commands []Command) {
	keys := make([]string, 0, 64)
	for i := range commands {
		if key := commands[i].Op.Key; key != "" {
			keys = append(keys, key)
		}
	}
	m.present.Load().keys.Prepare(keys)
}

// operation executes an operation on one key.
func (p *present) operation(op kv.Op) kv.Result {
	if op.Kind == kv.Put && p.overQuota(putBytes(op.Key, op.Value)) {
		return kv.Result{Code: kv.CodeQuota, Revision: p.keys.Revision()}
	}
	return p.keys.DoOp(op, p.times.wall)
}

// more executes a command that is more than an operation on one key. The error is one of the
// disk.
func (p *present) more(c Command) (Result, error) {
	m := c.More
	if m.stamped() {
		p.advance(m)
	}
	if m.Session.ID == 0 {
		return p.execute(c)
	}
	// A command whose user is none any more leaves no trace in the session: it can come again, as
	// the same one, with a new token.
	if code := p.admits(m); code != kv.CodeOK {
		return p.refusal(code), nil
	}
	p.leases.mu.Lock()
	verdict, outcome := p.leases.table.Begin(m.Session)
	p.leases.mu.Unlock()
	switch verdict {
	case lease.Unknown:
		return p.refusal(kv.CodeForgotten), nil
	case lease.Replay:
		return p.replayed(c, outcome), nil
	}
	r, err := p.execute(c)
	if err != nil {
		return r, err
	}
	p.leases.mu.Lock()
	p.leases.table.Finish(m.Session, r.Revision, codeByte(r), appendResult(nil, r))
	p.leases.mu.Unlock()
	return r, nil
}

func (p *present) refusal(code kv.Code) Result {
	return Result{Result: kv.Result{Code: code, Revision: p.keys.Revision()}}
}

// replayed is what the session has kept of the outcome of a command. A user that may not do it any
// more learns that it was executed, and not what it returned.
func (p *present) replayed(c Command, o lease.Outcome) Result {
	var r Result
	switch {
	case o.Whole:
		r, _ = decodeResult(o.Result)
		r.Kept = KeptResult
	case o.Code != 0:
		r = resultOfByte(o.Code)
		r.Kept = KeptCode
	}
	if r.Code == kv.CodeOK && p.permits(c) != kv.CodeOK {
		r = Result{Kept: KeptRevision}
	}
	r.Replayed, r.DoneAt = true, o.Revision
	return r
}

func (p *present) execute(c Command) (Result, error) {
	if code := p.permits(c); code != kv.CodeOK {
		return p.refusal(code), nil
	}
	if code := p.alarms.refuse(&c); code != kv.CodeOK {
		return p.refusal(code), nil
	}
	m := c.More
	switch m.Kind {
	case KindOp:
		return Result{Result: p.operation(c.Op)}, nil
	case KindTxn:
		return p.txn(m.Txn)
	case KindCompact:
		return p.compact(m.Revision), nil
	case KindGrant:
		return p.grant(m), nil
	case KindRevoke:
		return p.revoke(m.Lease), nil
	case KindTick:
		return p.tick(m), nil
	case KindQuota:
		p.quota.Store(m.Quota)
		return p.refusal(kv.CodeOK), nil
	case KindAuth:
		return p.changeUsers(m.Auth), nil
	case KindVersion:
		return p.raiseVersion(m.Version), nil
	case KindAlarm:
		return p.changeAlarm(m.Alarm), nil
	}
	return p.refusal(kv.CodeUnknownKind), nil
}

func (p *present) txn(t *kv.Txn) (Result, error) {
	if t == nil {
		return p.refusal(kv.CodeInvalid), nil
	}
	if p.overQuota(txnBytes(t)) {
		return p.refusal(kv.CodeQuota), nil
	}
	tr, err := p.keys.Txn(t, p.times.wall)
	r := Result{Result: kv.Result{Code: tr.Code, Revision: tr.Revision}}
	if tr.Code == kv.CodeOK {
		r.Txn = &tr
	}
	return r, err
}

// advance carries log time on.
func (p *present) advance(m *More) {
	p.leases.mu.Lock()
	p.leases.table.Advance(m.Stamp)
	p.leases.mu.Unlock()
	p.times.add(m.Stamp, p.keys.Revision())
}

func (p *present) grant(m *More) Result {
	if m.Lease == 0 {
		return p.refusal(kv.CodeInvalid)
	}
	p.leases.mu.Lock()
	err := p.leases.table.Grant(m.Lease, m.TTL, m.IsSession)
	if err == nil && !m.stamped() {
		p.leases.table.Float([]int64{m.Lease})
	}
	if err == nil {
		p.leases.ever.Granted++
		p.leases.ever.TTLs.add(m.TTL)
	}
	p.leases.mu.Unlock()
	r := p.refusal(leaseCode(err))
	if err == nil {
		r.TTL = []int64{m.TTL}
	}
	return r
}

func leaseCode(err error) kv.Code {
	switch {
	case err == nil:
		return kv.CodeOK
	case errors.Is(err, lease.ErrExists):
		return kv.CodeLeaseExists
	case errors.Is(err, lease.ErrTooManyLeases):
		return kv.CodeTooManyLeases
	case errors.Is(err, lease.ErrNotFound):
		return kv.CodeNoLease
	}
	return kv.CodeLeaseTTL
}

func (p *present) revoke(id int64) Result {
	p.leases.mu.Lock()
	ended, err := p.leases.table.Revoke(id)
	if err == nil {
		p.leases.ever.Revoked++
	}
	p.leases.mu.Unlock()
	if err == nil {
		p.keys.DeleteKeys(ended.Keys, p.times.wall)
	}
	return p.refusal(leaseCode(err))
}

// tick keeps leases alive, and then ends those that are due by the leader's clock. The keys of
// each go together (see kv.Store.DeleteKeys). Without a stamp, and while an alarm AlarmCorrupt is raised, it ends none.
func (p *present) tick(m *More) Result {
	p.leases.mu.Lock()
	var ended []lease.Ended
	if m.stamped() {
		p.leases.table.Settle()
	}
	remaining := p.leases.table.KeepAlive(m.Leases, nil)
	switch {
	case !m.stamped():
		p.leases.table.Float(m.Leases)
	case !p.alarms.corrupt.Load():
		ended = p.leases.table.Expire(m.Stamp.Log, expiryBudget)
	}
	for _, ttl := range remaining {
		if ttl > 0 {
			p.leases.ever.Renewed++
		}
	}
	p.leases.ever.Expired += uint64(len(ended))
	p.leases.mu.Unlock()
	for i := range ended {
		p.keys.DeleteKeys(ended[i].Keys, p.times.wall)
	}
	r := p.refusal(kv.CodeOK)
	r.TTL = remaining
	return r
}

// overQuota tells whether the quota refuses a write that adds so many bytes at most.
func (p *present) overQuota(bytes int64) bool {
	quota := p.quota.Load()
	if quota <= 0 || bytes == 0 || p.keys.Bytes()+bytes <= quota {
		return false
	}
	p.refused.Store(bytes)
	return true
}

// atQuota tells whether the quota refuses puts: see Figures.AtQuota.
func (p *present) atQuota() bool {
	return Figures{Figures: kv.Figures{Bytes: p.keys.Bytes()}, Quota: p.quota.Load(), Refused: p.refused.Load()}.AtQuota()
}

// changeAlarm executes a KindAlarm. The alarm of the quota, which is about the whole cluster, can be lifted
// as well: it comes back with the next write that is refused, or stays if there is no room at all.
func (p *present) changeAlarm(c AlarmChange) Result {
	code := p.alarms.change(c)
	if c.Lift && c.Alarm == (Alarm{Kind: AlarmNoSpace}) && p.atQuota() {
		p.refused.Store(0)
		code = kv.CodeOK
	}
	return p.refusal(code)
}

// putBytes is about what a put adds to the store at most.
func putBytes(key string, value []byte) int64 { return int64(len(key) + len(value)) }

// txnBytes is what all puts of a transaction add to the store at most, whichever list is
// executed.
func txnBytes(t *kv.Txn) (n int64) {
	for _, ops := range [][]kv.TxnOp{t.Then, t.Else} {
		for i := range ops {
			switch op := &ops[i]; {
			case op.Put != nil:
				n += putBytes(op.Put.Key, op.Put.Value)
			case op.Txn != nil:
				n += txnBytes(op.Txn)
			}
		}
	}
	return n
}
