package rsm

import (
	"context"
	"io"

	"balsa.example/raft"
)

// Transport carries messages and snapshots to other replicas. Package transport has one over
// TCP. In parentheses is the check of rsmtest.TestTransport that fails if a rule is broken.
//
// A Transport MUST
//
//   - deliver a message only to the member that it is for, with every field as it was
//     (EachMessageArrivesAsItWas);
//   - return from Send at once: it drops what cannot go soon, be it that a member is gone or
//     that its queue is full, and other members get theirs
//     (SendDoesNotWaitForAMemberThatIsGone);
//   - keep no hold of the slice that Send got, whose caller uses it again; the messages
//     themselves never change (TheSliceIsTheCallersAfterSend);
//   - carry a message that holds one operation of [MaxOpBytesLimit], since Raft sends a
//     message that is lost again and again, and those behind it wait
//     (ALargeOperationArrives);
//   - let messages pass while a snapshot is on its way, for that may take minutes
//     (MessagesGoBesideASnapshot);
//   - carry snapshots to several members at the same time, one to each
//     (SnapshotsGoToSeveralMembersAtOnce);
//   - return nil from SendSnapshot only when the receiver has stored the whole snapshot
//     (ASnapshotArrivesWhole) (ASnapshotThatIsNotStoredIsAnError);
//   - give the receiver of a snapshot io.EOF only behind the last byte, and another error if
//     its source fails or its connection breaks (ASnapshotWhoseSourceFailsIsNotStored);
//   - return from SendSnapshot when the context ends (ASnapshotEndsWithItsContext);
//   - begin every stream at its first byte, or where the receiver says that it lacks this
//     very stream, and tell the receiver which of the two
//     (AStreamGoesOnWhereItBrokeOffOrBeginsAnew).
//
// A Transport MAY
//
//   - lose, repeat, delay and reorder messages: Raft is made for that. It is fast only where
//     most of them arrive soon and in order;
//   - resume a stream that broke off, as SendSnapshot says.
//
// A Transport SHOULD
//
//   - call [Node.Unreachable] when the connection to a member breaks. Without that, a new
//     leader is elected only after an election timeout;
//   - notice within about an election timeout that nothing comes through a connection any
//     more, and make a new one. A kernel takes minutes for that, and the replicas behind it
//     are cut off for as long;
//   - bound what waits for each member, in messages and bytes;
//   - leave room in that bound for other messages than operations that members forward
//     ([raft.KindPropose]). The other messages keep the cluster going.
type Transport interface {
	// Send hands over messages, each to its Head().To. One goroutine calls it.
	Send(ms []raft.Message)

	// SendSnapshot streams data to m.To. It returns nil when the ReceiveSnapshot of the
	// receiver has returned nil, and otherwise why the receiver has not stored the snapshot.
	// Several goroutines may call it at the same time, with messages to different members.
	//
	// If m.Stream is not 0, data is an io.Seeker too, and the Transport may resume a transfer
	// that broke off:
	//
	//   1. It asks the receiver, if that is a ResumingReceiver, from which offset on it lacks
	//      the stream.
	//   2. It seeks data there.
	//   3. It sets Offset in the copy of m that it delivers. m itself stays as it is.
	//
	// A Transport that does not resume sends data from the beginning, with Offset 0.
	SendSnapshot(ctx context.Context, m *raft.InstallSnapshot, data io.Reader) error
}

// Receiver is what a Transport delivers to. A Node is one. Several goroutines may call its
// methods at the same time.
type Receiver interface {
	// Receive takes a message that arrived. It does not block.
	Receive(m raft.Message)

	// ReceiveSnapshot stores a snapshot that arrives and returns when it is durable. data ends
	// with io.EOF only behind the whole snapshot. An error, be it from data or from the disk,
	// has changed nothing, except that a ResumingReceiver keeps what has arrived.
	ReceiveSnapshot(m *raft.InstallSnapshot, data io.Reader) error
}

// ResumingReceiver is a Receiver that may have a part of a stream already. A Node is one.
type ResumingReceiver interface {
	Receiver

	// SnapshotOffset returns how much of the stream m.Stream is stored: the data of
	// ReceiveSnapshot may begin there. It is called before ReceiveSnapshot, by any goroutine,
	// with the message as its sender made it.
	SnapshotOffset(m *raft.InstallSnapshot) int64
}
