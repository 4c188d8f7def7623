package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/api"
	"balsa.example/internal/replica"
	"balsa.example/raft"
)

const (
	// maxBackups bounds the backups at a time. Each may keep files that nobody else needs any more.
	maxBackups = 2
	// BackupTime bounds the time for which one does that.
	BackupTime = 10 * time.Minute
	// backupPiece is how much of a file goes in one message.
	backupPiece = 256 << 10
	// backupSign is how often a client is told that the server is still at work.
	backupSign = 5 * time.Second
	// durableTime bounds the wait for a state that has everything that was acknowledged.
	durableTime = 5 * time.Minute
)

var (
	errBackups    = status.Error(codes.ResourceExhausted, fmt.Sprintf("%d backups are made from this server already", maxBackups))
	errBackupTime = status.Error(codes.Aborted, fmt.Sprintf("the stream of a backup ends after %s; go on in a new one", BackupTime))
)

// Backup implements api.KVServer.
func (s *Server) Backup(stream api.KV_BackupServer) error {
	r, u, err := s.require(stream.Context(), true)
	if err != nil {
		return err
	}
	select {
	case s.backups <- struct{}{}:
		defer func() { <-s.backups }()
	default:
		return errBackups
	}
	ctx, cancel := context.WithTimeoutCause(stream.Context(), BackupTime, errBackupTime)
	defer cancel()
	b := backupStream{ctx: ctx, replica: r, draining: s.draining, stream: stream, requests: make(chan *api.BackupRequest)}
	b.may = func() error { return s.refusal(r.Access.Require(ctx, u, true)) }
	s.receivers.Go(b.receive)
	end := s.cfg.OnBackup()
	err = b.run()
	if b.satisfied && stream.Context().Err() != nil {
		end(nil) // clients hang up when they have all that they want
	} else {
		end(err)
	}
	return s.backupError(ctx, err)
}

// backupError is the status of a stream that ends.
func (s *Server) backupError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errBackupTime):
		return errBackupTime
	case errors.Is(err, fs.ErrNotExist):
		return status.Error(codes.NotFound, "the image has no such file")
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Unavailable, s.cfg.Names(err.Error()))
}

// backupStream is one stream. One goroutine receives, since a stream must end in time though its client
// asks for nothing.
type backupStream struct {
	ctx      context.Context
	replica  *replica.Replica
	draining <-chan struct{}
	stream   api.KV_BackupServer
	requests chan *api.BackupRequest
	ended    error        // why there are no more requests, when requests is closed
	may      func() error // tells whether the user still has the right, with all that was executed meanwhile
	// satisfied: the client has all that it has asked for so far, and that is not nothing.
	satisfied bool
}

// receive takes requests until the stream ends.
func (b *backupStream) receive() {
	defer close(b.requests)
	for {
		req, err := b.stream.Recv()
		if err != nil {
			b.ended = err
			return
		}
		select {
		case b.requests <- req:
		case <-b.ctx.Done():
			b.ended = b.ctx.Err()
			return
		}
	}
}

// next waits for the next request.
func (b *backupStream) next() (*api.BackupRequest, error) {
	select {
	case req, ok := <-b.requests:
		if !ok {
			return nil, b.ended
		}
		return req, nil
	case <-b.draining:
		return nil, status.Error(codes.Unavailable, errStopping.Error())
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	}
}

// run answers the requests, one after the other.
func (b *backupStream) run() error {
	req, err := b.next()
	if err != nil {
		return err
	}
	if len(req.File) > 0 {
		return status.Error(codes.InvalidArgument, "file: the first request is for the image, and names none")
	}
	taken := time.Now() // what is acknowledged by now is in the state, and all until the state is written may not be
	if err := b.awaitDurable(); err != nil {
		return err
	}
	if err := b.may(); err != nil { // this server may have been behind before
		return err
	}
	image, err := b.replica.State.OpenState()
	if err != nil {
		return err
	}
	defer image.Data.Close() // until then the files stay
	first := &api.BackupReply{ClusterId: b.replica.State.Cluster(), TakenUnixMs: taken.UnixMilli()}
	if err := b.send(image.Data, first); err != nil {
		return err
	}
	for {
		b.satisfied = true
		req, err := b.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			b.satisfied = false
			err = b.sendFile(req)
		}
		if err != nil {
			return err
		}
	}
}

func (b *backupStream) sendFile(req *api.BackupRequest) error {
	if len(req.File) == 0 || req.Offset > 1<<40 {
		return status.Error(codes.InvalidArgument, "file and offset: no such place in a file")
	}
	if err := b.may(); err != nil {
		return err
	}
	data, err := b.replica.State.OpenFile(req.File, int64(req.Offset))
	if err != nil {
		return err
	}
	defer data.Close()
	return b.send(data, &api.BackupReply{})
}

// send sends data in pieces, with the first of which comes what is in reply.
func (b *backupStream) send(data io.Reader, reply *api.BackupReply) error {
	buf := make([]byte, backupPiece)
	for {
		n, err := io.ReadFull(data, buf)
		reply.Data, reply.End = buf[:n], errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !reply.End {
			return err
		}
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		select {
		case <-b.draining:
			return status.Error(codes.Unavailable, errStopping.Error())
		default:
		}
		if err := b.stream.Send(reply); err != nil || reply.End {
			return err
		}
		reply = &api.BackupReply{}
	}
}

// awaitDurable waits for a durable state that has everything that was acknowledged before.
func (b *backupStream) awaitDurable() error {
	ctx, cancel := context.WithTimeoutCause(b.ctx, durableTime, fmt.Errorf("the server has written no checkpoint of its state in %s; see its --max-raft-state", durableTime))
	defer cancel()
	index, err := b.replica.Node.ReadAnywhere(ctx, raft.ReadByIndex)
	if err != nil {
		return err
	}
	sign := time.NewTicker(backupSign)
	defer sign.Stop()
	for {
		durable, replaced := b.replica.State.Durable()
		if durable >= index {
			return nil
		}
		b.replica.Node.Checkpoint()
		select {
		case <-replaced:
		case <-sign.C:
			if err := b.stream.Send(&api.BackupReply{}); err != nil {
				return err
			}
		case <-b.draining:
			return status.Error(codes.Unavailable, errStopping.Error())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
