package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"balsa.example/kv"
	"balsa.example/raft"
	"balsa.example/rsm"
	"balsa.example/vfs"
)

// durableStore is a kv.Store that keeps its own state, on files that lose what was not
// synced: an rsm.DurableMachine. Its files are
//
//	state-INDEX           the state at INDEX: an image of the store, and a trailer
//	received-ID-LENGTH    the first LENGTH bytes of another member's stream ID, perhaps with
//	                      more behind them that are not durable
//	temp                  a state that is being written
//
// A stream is an image, as nodes with snapshots send it too. The trailer is the meta, and in
// 8 bytes each the name of the stream and the length of the image.
type durableStore struct {
	*kv.Store
	d *disk
	// received is the state that was received last and not installed yet.
	received raft.Index
}

const stateDir = "/state"

func statePath(index raft.Index) string {
	return fmt.Sprintf("%s/state-%016x", stateDir, uint64(index))
}

func receivedPath(id rsm.StreamID, length int64) string {
	return fmt.Sprintf("%s/received-%016x-%016x", stateDir, id, length)
}

// newest returns the index of the newest state, 0 if there is none.
func (s *durableStore) newest() (newest raft.Index) {
	names, _ := s.d.files.List(stateDir)
	for _, name := range names {
		if hex, ok := strings.CutPrefix(name, "state-"); ok {
			index, _ := strconv.ParseUint(hex, 16, 64)
			newest = max(newest, raft.Index(index))
		}
	}
	return newest
}

// partial returns the stream that was received in part, how much of it is durable, and its
// file, if there is one.
func (s *durableStore) partial() (id rsm.StreamID, length int64, file string) {
	names, _ := s.d.files.List(stateDir)
	for _, name := range names {
		if _, err := fmt.Sscanf(name, "received-%x-%x", &id, &length); err == nil {
			return id, length, stateDir + "/" + name
		}
	}
	return 0, 0, ""
}

// read returns what a state file holds.
func (s *durableStore) read(index raft.Index) (meta raft.SnapshotMeta, id rsm.StreamID, image []byte, err error) {
	f, err := s.d.files.Open(statePath(index))
	if err != nil {
		return meta, 0, nil, err
	}
	file, err := io.ReadAll(f)
	if err != nil {
		return meta, 0, nil, err
	}
	torn := fmt.Errorf("%w: state %d is damaged", errLost, index)
	end := len(file) - 16
	if end < 0 {
		return meta, 0, nil, torn
	}
	id = binary.LittleEndian.Uint64(file[end:])
	length := binary.LittleEndian.Uint64(file[end+8:])
	if length > uint64(end) {
		return meta, 0, nil, torn
	}
	if meta, _, err = raft.DecodeSnapshotMeta(file[length:end]); err != nil || meta.Index != index {
		return meta, 0, nil, torn
	}
	return meta, id, file[:length], nil
}

// trailer draws a name if the stream has none.
func (s *durableStore) trailer(meta raft.SnapshotMeta, id rsm.StreamID, length int64) []byte {
	if id == 0 {
		id = s.d.w.rand.Uint64() | 1
	}
	b := raft.AppendSnapshotMeta(nil, meta)
	b = binary.LittleEndian.AppendUint64(b, id)
	return binary.LittleEndian.AppendUint64(b, uint64(length))
}

// Open is part of rsm.DurableMachine. A name that a crash left may not be durable yet.
func (s *durableStore) Open() (raft.SnapshotMeta, int64, error) {
	if err := s.syncDir(); err != nil {
		return raft.SnapshotMeta{}, 0, err
	}
	return s.restore(s.newest())
}

func (s *durableStore) restore(index raft.Index) (meta raft.SnapshotMeta, size int64, err error) {
	if index == 0 {
		return meta, 0, nil
	}
	meta, _, image, err := s.read(index)
	if err == nil {
		err = s.Restore(bytes.NewReader(image))
	}
	return meta, int64(len(image)), err
}

// Checkpoint is part of rsm.DurableMachine.
func (s *durableStore) Checkpoint(meta raft.SnapshotMeta) func(context.Context) (int64, error) {
	image, err := s.Snapshot()
	return func(context.Context) (int64, error) {
		if err != nil {
			return 0, err
		}
		var b bytes.Buffer
		length, err := image.WriteTo(&b)
		b.Write(s.trailer(meta, 0, length))
		if c, ok := image.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			return 0, err
		}
		temp := stateDir + "/temp"
		f, err := s.d.files.Create(temp)
		if err != nil {
			return 0, err
		}
		if err := writeSynced(f, b.Bytes()); err != nil {
			return 0, err
		}
		return int64(b.Len()), s.publish(temp, meta)
	}
}

func writeSynced(f vfs.File, data []byte) error {
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// publish makes a file that is durable the newest state. Older ones go only when its name is
// durable too.
func (s *durableStore) publish(file string, meta raft.SnapshotMeta) error {
	before := s.newest()
	if err := s.d.files.Rename(file, statePath(meta.Index)); err != nil {
		return err
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	s.d.nowDurable(meta)
	if before != 0 && before < meta.Index {
		_ = s.d.files.Remove(statePath(before)) // Open takes the newest
	}
	return nil
}

func (s *durableStore) syncDir() error {
	dir, err := s.d.files.OpenDir(stateDir)
	if err != nil {
		return err
	}
	return dir.Sync()
}

// OpenState is part of rsm.DurableMachine.
func (s *durableStore) OpenState() (rsm.StateStream, error) {
	index := s.newest()
	if index == 0 {
		return rsm.StateStream{Data: io.NopCloser(bytes.NewReader(nil))}, nil
	}
	meta, id, image, err := s.read(index)
	return rsm.StateStream{Position: meta, ID: id, Data: readSeekNopCloser{bytes.NewReader(image)}}, err
}

type readSeekNopCloser struct{ io.ReadSeeker }

func (readSeekNopCloser) Close() error { return nil }

// StateOffset is part of rsm.DurableMachine.
func (s *durableStore) StateOffset(_ raft.SnapshotMeta, stream rsm.StreamID) int64 {
	if id, length, _ := s.partial(); id == stream {
		return length
	}
	return 0
}

// ReceiveState is part of rsm.DurableMachine.
func (s *durableStore) ReceiveState(meta raft.SnapshotMeta, stream rsm.StreamID, offset int64, data io.Reader) error {
	if have := s.StateOffset(meta, stream); offset != have {
		return fmt.Errorf("stream %x from %d: %d bytes of it are there", stream, offset, have)
	}
	file, f, err := s.openReceived(stream, offset)
	if err != nil {
		return err
	}
	b, cause := io.ReadAll(data)
	length := offset + int64(len(b))
	if cause == nil {
		b = append(b, s.trailer(meta, stream, length)...)
	}
	if _, err := f.WriteAt(b, offset); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if cause != nil && stream == 0 {
		return cause
	}
	if cause != nil {
		return errors.Join(cause, s.keep(file, stream, length))
	}
	s.received = meta.Index
	return s.publish(file, meta)
}

// openReceived opens the file of a stream that goes on, or makes one in place of all others.
func (s *durableStore) openReceived(stream rsm.StreamID, offset int64) (file string, f vfs.File, err error) {
	if offset > 0 {
		_, _, file = s.partial()
		f, err = s.d.files.OpenReadWrite(file)
		return file, f, err
	}
	names, _ := s.d.files.List(stateDir)
	for _, name := range names {
		if strings.HasPrefix(name, "received-") {
			if err := s.d.files.Remove(stateDir + "/" + name); err != nil {
				return "", nil, err
			}
		}
	}
	file = receivedPath(stream, 0)
	f, err = s.d.files.Create(file)
	return file, f, err
}

// keep gives a stream that broke off the name that tells how much of it is durable.
func (s *durableStore) keep(file string, stream rsm.StreamID, length int64) error {
	if err := s.d.files.Rename(file, receivedPath(stream, length)); err != nil {
		return err
	}
	return s.syncDir()
}

// InstallState is part of rsm.DurableMachine.
func (s *durableStore) InstallState(want raft.SnapshotMeta) (raft.SnapshotMeta, error) {
	if s.received < want.Index {
		return want, fmt.Errorf("install the state at %s: the newest received is at %d", want, s.received)
	}
	meta, _, err := s.restore(s.received)
	return meta, err
}
