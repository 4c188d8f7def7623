package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"balsa.example/api"
	"balsa.example/internal/backup"
	"balsa.example/internal/frontend/native"
)

// MayBackup implements ui.Cluster.
func (d *dashboard) MayBackup(ctx context.Context, token string) error {
	return d.s.native.Require(as(ctx, token), true)
}

// Backup implements ui.Cluster. It is a client of the call that all backups are made by, whose rights and
// bounds hold.
func (d *dashboard) Backup(ctx context.Context, token string, begin func(name string) io.Writer) error {
	stream, cancel := newBackupCall(as(ctx, token))
	go func() {
		defer close(stream.ended)
		stream.err = d.s.native.Backup(stream)
	}()
	defer func() {
		cancel()
		<-stream.ended
	}()
	_, err := backup.WriteTar(stream.ctx, stream, func(name string) io.Writer { return begin(name + ".tar") })
	return err
}

// backupCall is both ends of a call of Backup: api.KV_BackupServer, and a backup.Source.
type backupCall struct {
	grpc.ServerStream // has no other methods than those below
	ctx               context.Context
	requests          chan *api.BackupRequest
	replies           chan *api.BackupReply
	ended             chan struct{}
	err               error // of the call, when it has ended
}

// newBackupCall returns a call that ends when its time is up, also while nobody takes a reply: a browser may pause.
func newBackupCall(ctx context.Context) (c *backupCall, cancel func()) {
	ctx, cancel = context.WithTimeout(ctx, native.BackupTime)
	return &backupCall{ctx: ctx, requests: make(chan *api.BackupRequest), replies: make(chan *api.BackupReply), ended: make(chan struct{})}, cancel
}

// Context is part of api.KV_BackupServer.
func (c *backupCall) Context() context.Context { return c.ctx }

// Recv is part of api.KV_BackupServer.
func (c *backupCall) Recv() (*api.BackupRequest, error) {
	select {
	case req := <-c.requests:
		return req, nil
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
}

// Send is part of api.KV_BackupServer. The data of a reply is used again when it returns.
func (c *backupCall) Send(r *api.BackupReply) error {
	select {
	case c.replies <- &api.BackupReply{ClusterId: r.ClusterId, TakenUnixMs: r.TakenUnixMs, Data: bytes.Clone(r.Data), End: r.End}:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func (c *backupCall) ask(req *api.BackupRequest) error {
	select {
	case c.requests <- req:
		return nil
	case <-c.ended:
		return c.failure()
	}
}

func (c *backupCall) reply() (*api.BackupReply, error) {
	select {
	case r := <-c.replies:
		return r, nil
	case <-c.ended:
		return nil, c.failure()
	}
}

func (c *backupCall) failure() error {
	if c.err == nil {
		return io.ErrUnexpectedEOF
	}
	return c.err
}

// Image implements backup.Source.
func (c *backupCall) Image(context.Context) (image []byte, cluster uint64, taken time.Time, err error) {
	if err := c.ask(&api.BackupRequest{}); err != nil {
		return nil, 0, taken, err
	}
	var first *api.BackupReply
	rest := &backupFile{c: c}
	rest.seen = func(r *api.BackupReply) {
		if first == nil && r.ClusterId != 0 {
			first = r
		}
	}
	image, err = io.ReadAll(io.LimitReader(rest, maxBackupImage+1))
	switch {
	case err != nil:
		return nil, 0, taken, err
	case first == nil || len(image) > maxBackupImage:
		return nil, 0, taken, errors.New("the image of the state is too large, or none")
	}
	return image, first.ClusterId, time.UnixMilli(first.TakenUnixMs), nil
}

// maxBackupImage bounds the part of a backup that is not in files: leases, users and roles.
const maxBackupImage = 1 << 30

// File implements backup.Source.
func (c *backupCall) File(_ context.Context, name []byte, offset int64) (io.ReadCloser, error) {
	return &backupFile{c: c}, c.ask(&api.BackupRequest{File: name, Offset: uint64(offset)})
}

// backupFile is what one request is answered by. It is read to its end before the next one.
type backupFile struct {
	c    *backupCall
	rest []byte
	end  bool
	seen func(*api.BackupReply) // may be nil
}

// Read implements io.Reader.
func (f *backupFile) Read(b []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.end {
			return 0, io.EOF
		}
		r, err := f.c.reply()
		if err != nil {
			return 0, err
		}
		if f.seen != nil {
			f.seen(r)
		}
		f.rest, f.end = r.Data, r.End
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close reads what is left: the next reply must be that of the next request.
func (f *backupFile) Close() error {
	_, err := io.Copy(io.Discard, f)
	return err
}
