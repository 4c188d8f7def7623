package clerk

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
)

// maxBackupImage bounds what is read of an image.
const maxBackupImage = 1 << 30

// backupStall is how long a server may be silent in the midst of a backup.
const backupStall = 30 * time.Second

// errSilent is why a Clerk has ended a stream, whose own error says only that somebody has.
var errSilent = fmt.Errorf("the server has said nothing for %s", backupStall)

// ErrBackupTime ends the stream of a backup that has lasted long. What has come is good, and the rest can
// be had from a new stream.
var ErrBackupTime = errors.New("the stream of the backup has lasted too long")

// BackupCaller is an interface that a Caller may implement too. The Clerk's own does.
type BackupCaller interface {
	Backup(ctx context.Context, address string) (*Backup, error)
}

// Backup is a durable state of one server: an image, which names the files of the history, and these
// files. They stay until Close, or for some minutes. One goroutine at a time may use it.
type Backup struct {
	// Endpoint is the server.
	Endpoint string

	stream  api.KV_BackupClient
	ctx     context.Context // of the stream
	cancel  context.CancelCauseFunc
	stalled *time.Timer // runs while something is awaited

	image   []byte
	cluster uint64
	taken   time.Time
}

// OpenBackup asks one server after the other for a state that has everything that was acknowledged
// before, and returns that of the first that has one. It ends with ctx.
func (c *Clerk) OpenBackup(ctx context.Context) (*Backup, error) {
	caller, ok := c.caller.(BackupCaller)
	if !ok {
		return nil, errNoAdmin
	}
	var all error
	for address, err := range c.answering(ctx) {
		if ended := c.ended(ctx); ended != nil {
			return nil, ended
		}
		var b *Backup
		if err == nil {
			b, err = caller.Backup(ctx, address)
		}
		if err == nil {
			b.Endpoint = address
			return b, nil
		}
		all = errors.Join(all, fmt.Errorf("%s: %w", address, err))
		if Denied(err) || errors.Is(err, ErrOtherCluster) {
			return nil, fmt.Errorf("backup: %w", errorOf(err))
		}
	}
	return nil, fmt.Errorf("backup: %w: %w", ErrUnavailable, all)
}

// Backup implements BackupCaller.
func (n *network) Backup(ctx context.Context, address string) (*Backup, error) {
	l, err := n.link(address)
	if err != nil {
		return nil, err
	}
	for again := n.login != nil; ; again = false {
		b, token, err := openBackup(ctx, l)
		if err == nil || status.Code(err) != codes.Unauthenticated || !again {
			if err != nil {
				return nil, l.handshake.explain(n.login.refused(token, err))
			}
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.cluster == 0 {
				n.cluster = b.cluster
			}
			if err := n.sameCluster(address, b.cluster); err != nil {
				b.Close()
				return nil, err
			}
			return b, nil
		}
		n.login.forget(token)
	}
}

// openBackup opens a stream, and reads the image from it.
func openBackup(ctx context.Context, l *link) (b *Backup, token string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	b = &Backup{ctx: ctx, cancel: cancel, stalled: time.AfterFunc(backupStall, func() { cancel(errSilent) })}
	defer func() {
		if err != nil {
			err = b.silence(err)
			b.Close()
		}
	}()
	if ctx, token, err = l.net.login.authenticated(ctx, l.conn, true); err != nil {
		return b, token, err
	}
	if b.stream, err = api.NewKVClient(l.conn).Backup(ctx); err != nil {
		return b, token, err
	}
	data := &backupFile{b: b, first: func(r *api.BackupReply) {
		b.cluster, b.taken = r.ClusterId, time.UnixMilli(r.TakenUnixMs)
	}}
	if err = b.ask(&api.BackupRequest{}); err == nil {
		b.image, err = io.ReadAll(io.LimitReader(data, maxBackupImage))
	}
	return b, token, err
}

// Close ends the backup.
func (b *Backup) Close() error {
	b.stalled.Stop()
	b.cancel(nil)
	return nil
}

// Image returns the image, of which cluster it is, and when the server was asked for it, by its clock: the image
// has everything that was acknowledged before.
func (b *Backup) Image(context.Context) (image []byte, cluster uint64, taken time.Time, err error) {
	return b.image, b.cluster, b.taken, nil
}

// File opens a file that the image names, from an offset on. It has to be read to its end, or closed,
// before the next one is opened. After it was closed earlier there is no next one.
func (b *Backup) File(_ context.Context, name []byte, offset int64) (io.ReadCloser, error) {
	if err := b.ask(&api.BackupRequest{File: name, Offset: uint64(offset)}); err != nil {
		return nil, err
	}
	return &backupFile{b: b}, nil
}

func (b *Backup) ask(req *api.BackupRequest) error {
	b.stalled.Reset(backupStall)
	defer b.stalled.Stop()
	if err := b.stream.Send(req); err != nil && !errors.Is(err, io.EOF) { // EOF: the next Recv says why
		return b.error(err)
	}
	return nil
}

// silence is errSilent if that has ended the stream, else err.
func (b *Backup) silence(err error) error {
	if errors.Is(context.Cause(b.ctx), errSilent) {
		return errSilent
	}
	return err
}

func (b *Backup) error(err error) error {
	switch err = b.silence(err); status.Code(err) {
	case codes.Aborted:
		return fmt.Errorf("%w: %s", ErrBackupTime, status.Convert(err).Message())
	case codes.NotFound:
		return fmt.Errorf("%s: %w", status.Convert(err).Message(), fs.ErrNotExist)
	}
	return err
}

// backupFile reads what a request is answered with.
type backupFile struct {
	b     *Backup
	first func(*api.BackupReply) // is given the first part; may be nil
	rest  []byte
	end   bool
}

func (f *backupFile) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if f.end {
			return 0, io.EOF
		}
		f.b.stalled.Reset(backupStall)
		r, err := f.b.stream.Recv()
		f.b.stalled.Stop()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, f.b.error(err)
		}
		if f.first != nil && r.ClusterId != 0 {
			f.first(r)
		}
		f.rest, f.end = r.Data, r.End
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close ends the whole backup if the file was not read to its end: what is left of it would come
// before the next one.
func (f *backupFile) Close() error {
	if n, err := f.Read(make([]byte, 1)); n == 0 && err == io.EOF {
		return nil
	}
	return f.b.Close()
}
