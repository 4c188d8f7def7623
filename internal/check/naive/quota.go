package naive

import (
	"encoding/binary"

	"balsa.example/kv"
	"balsa.example/state"
)

// overQuota tells whether the quota refuses a command: the keys and values that it puts do not fit
// beside the records of all present keys.
func (m *Machine) overQuota(c state.Command) bool {
	more := int64(0)
	switch {
	case c.More == nil, c.More.Kind == state.KindOp:
		if c.Op.Kind == kv.Put {
			more = int64(len(c.Op.Key) + len(c.Op.Value))
		}
	case c.More.Kind == state.KindTxn && c.More.Txn != nil:
		more = puts(c.More.Txn)
	}
	if m.quota == 0 || more == 0 || m.bytes()+more <= m.quota {
		return false
	}
	m.alarms.refused = more
	return true
}

// puts is the size of all keys and values that a transaction may put.
func puts(t *kv.Txn) (n int64) {
	for _, op := range append(append([]kv.TxnOp{}, t.Then...), t.Else...) {
		switch {
		case op.Put != nil:
			n += int64(len(op.Put.Key) + len(op.Put.Value))
		case op.Txn != nil:
			n += puts(op.Txn)
		}
	}
	return n
}

// bytes is the size of the records of all present keys, as package run writes them.
func (m *Machine) bytes() (n int64) {
	var b [binary.MaxVarintLen64]byte
	for _, key := range m.order {
		e, ok := m.at(key, now)
		if !ok {
			continue
		}
		wall := m.walls[e.ModRevision]
		n += 12 + 1 + int64(len(e.Key)+len(e.Value))
		for _, v := range []uint64{
			e.ModRevision, e.ModRevision - e.CreateRevision, e.Version, uint64(e.Lease), uint64(wall<<1 ^ wall>>63), uint64(len(e.Key)),
		} {
			n += int64(binary.PutUvarint(b[:], v))
		}
	}
	return n
}
