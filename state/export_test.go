package state

import "bytes"

// SmallFile is the file of a checkpoint at this moment, and DecodeSmallFile reads the auth
// revision of one.
func SmallFile(m *Machine) []byte {
	var b bytes.Buffer
	if _, err := m.present.Load().small().WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func DecodeSmallFile(b []byte) (authRevision uint64, err error) {
	s, _, err := decodeSmall(b)
	if err != nil {
		return 0, err
	}
	return s.users.Revision(), nil
}

// InventKind makes a kind of command known since a version, until the result is called.
func InventKind(k Kind, version uint64) func() {
	kindVersions[k] = version
	return func() { delete(kindVersions, k) }
}

// Unwritten is how many bytes of the history are in memory alone.
func (m *Machine) Unwritten() int64 { return m.present.Load().history.Unwritten() }

// Leisure says how much rewrites rest.
type Leisure struct{ of leisure }

func (l *Leisure) Next(all, left int64) int { return l.of.next(historySize{all, left}) }

// Flushes says how much checkpoints rest.
type Flushes struct{ of flushes }

func (f *Flushes) Next() int                               { return f.of.next() }
func (f *Flushes) Ended(written, left int64, hurried bool) { f.of.ended(written, left, hurried) }
