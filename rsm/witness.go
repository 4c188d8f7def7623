//balsa:pure

package rsm

import (
	"errors"
	"io"

	"balsa.example/raft"
)

// ErrWitness: this replica is a witness, which executes nothing. Certainly not executed; ask another
// replica.
var ErrWitness = errors.New("this replica is a witness, and keeps no state")

// NoState is the state machine of a witness, and its Codec. Its snapshots are positions in the log
// without data. A Node sets it by itself; it is for other shells of a Replica.
type NoState[Op, Result any] struct{}

func (NoState[Op, Result]) DoOp(Op) (none Result) { return none }

func (NoState[Op, Result]) Snapshot() (io.WriterTo, error) { return noData{}, nil }

func (NoState[Op, Result]) Restore(io.Reader) error { return nil }

// Append and Decode make NoState a Codec.
func (NoState[Op, Result]) Append(dst []byte, _ Op) []byte { return dst }

func (NoState[Op, Result]) Decode([]byte) (none Op, err error) { return none, nil }

type noData struct{}

func (noData) WriteTo(io.Writer) (int64, error) { return 0, nil }

func (noData) Read([]byte) (int, error) { return 0, io.EOF }

// WitnessStream is what a witness gets in place of a state: a position, behind which its log begins
// (see Transfer.Witness).
func WitnessStream(position raft.SnapshotMeta) *StateStream {
	return &StateStream{Position: position, Data: io.NopCloser(noData{})}
}

// defaultWitnessLog is MaxRaftState of a witness, whose snapshots cost nothing.
const defaultWitnessLog = 4 << 20
