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
//   - resume a stream that broke off, as SendSnapshot says;
//   - be a [Fetcher].
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
	// Receive takes a message that arrived, and not as the announcement of a snapshot. It does not block.
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

// MaxFileName bounds the name of a file that is fetched, in bytes.
const MaxFileName = 1 << 10

// Fetcher is a Transport by which the state machine of a member reads files of the state
// machine of another member. What a name means is up to the state machines. A Node gives it to
// a [FetchingMachine].
//
// A Fetcher MUST
//
//   - open the file by the OpenFile of the other member, and give the reader the bytes that
//     OpenFile's reader gives (AFileArrivesWhole);
//   - end with io.EOF only behind the last of them, and with another error if they cannot be
//     read or the connection breaks (AFileThatCannotBeReadBreaksOff);
//   - return an error that is fs.ErrNotExist where that of OpenFile is
//     (AFileThatIsNotThereDoesNotExist), and another error for any other reason, also where
//     the other member is gone, or is no FileOpener (AMemberThatServesNoFilesIsAnError);
//   - refuse a name longer than MaxFileName, and an offset below 0
//     (ANameThatIsTooLongIsRefused);
//   - end with its context, also after it has returned the reader (AFetchEndsWithItsContext);
//   - close the file at the other member when the reader is closed, and have room for the next
//     fetch then (AFetchThatIsClosedLetsGoOfTheFile);
//   - carry two fetches from one member at the same time (TwoFetchesGoAtOnce);
//   - let messages pass meanwhile (MessagesGoBesideAFetch).
type Fetcher interface {
	// Fetch opens a file of the state machine of another member, which need not be the leader,
	// at an offset in bytes. Any goroutine may call it. The reader is closed after its last use.
	Fetch(ctx context.Context, from raft.NodeID, name []byte, offset int64) (io.ReadCloser, error)
}

// FileOpener is a Receiver, or a DurableMachine, with files that other members may fetch. A
// Node is one, and asks its machine.
type FileOpener interface {
	// OpenFile opens a file for another member, at an offset. The reader gives the bytes from
	// there to the end of the file, which was fixed when OpenFile was called. Any goroutine may
	// call it, at any time. The error is fs.ErrNotExist if there is no such file. A Read that
	// takes longer than 10 s may end the fetch.
	OpenFile(name []byte, offset int64) (io.ReadCloser, error)
}
