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

// noState is the state machine of a witness. Its snapshots are positions in the log without data.
type noState[Op, Result any] struct{}

func (noState[Op, Result]) DoOp(Op) (none Result) { return none }

func (noState[Op, Result]) Snapshot() (io.WriterTo, error) { return noData{}, nil }

func (noState[Op, Result]) Restore(io.Reader) error { return nil }

// Append and Decode make noState a Codec.
func (noState[Op, Result]) Append(dst []byte, _ Op) []byte { return dst }

func (noState[Op, Result]) Decode([]byte) (none Op, err error) { return none, nil }

type noData struct{}

func (noData) WriteTo(io.Writer) (int64, error) { return 0, nil }

func (noData) Read([]byte) (int, error) { return 0, io.EOF }

// witnessStream is what a witness gets in place of a state: a position, behind which its log begins.
func witnessStream(position raft.SnapshotMeta) *StateStream {
	return &StateStream{Position: position, Data: io.NopCloser(noData{})}
}

// defaultWitnessLog is MaxRaftState of a witness, whose snapshots cost nothing.
const defaultWitnessLog = 4 << 20
