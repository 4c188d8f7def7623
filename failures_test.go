package balsa

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa.example/internal/certs/certstest"
	"balsa.example/internal/check/crashfs"
	"balsa.example/internal/check/leak"
	"balsa.example/member"
	"balsa.example/rsm"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// alone is the configuration of a cluster of one.
func alone(t *testing.T) Config[int, int] {
	l := leak.Listen(t)
	return Config[int, int]{
		Name: "n1", Members: map[string]string{"n1": l.Addr().String()}, Dir: filepath.Join(t.TempDir(), "data"),
		Codec: JSON[int]{}, Machine: &counter{}, listener: l,
	}
}

func start(t *testing.T, cfg Config[int, int]) *Node[int, int] {
	t.Helper()
	n, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	return n
}

// await waits for a channel to be closed.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
	}
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
	good := alone(t)
	n := start(t, good)
	if _, err := n.Submit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	good.listener = nil
	damaged := filepath.Join(t.TempDir(), "damaged")
	if err := os.CopyFS(damaged, os.DirFS(good.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(damaged, "MEMBERS"), []byte("balsa members 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	logless := filepath.Join(t.TempDir(), "logless")
	if err := os.CopyFS(logless, os.DirFS(good.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(logless, "wal")); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "secret")
	if err := errors.Join(os.WriteFile(open, []byte(strings.Repeat("s", 40)), 0o600), os.Chmod(open, 0o604)); err != nil {
		t.Fatal(err)
	}
	ca := certstest.NewCA(t, "ca")
	stranger := certstest.Write(t, ca.Issue(certstest.Leaf{CN: "n2"}), ca.PEM)
	busy := leak.Listen(t)
	defer busy.Close()

	for name, tc := range map[string]struct {
		change func(*Config[int, int])
		want   error // nil: any
	}{
		"a port in use":         {func(c *Config[int, int]) { c.Dir, c.Listen = c.Dir+"2", busy.Addr().String() }, nil},
		"an empty directory":    {func(c *Config[int, int]) { c.Dir, c.MustExist = c.Dir+"2", true }, member.ErrEmpty},
		"a file in its place":   {func(c *Config[int, int]) { c.Dir = open }, nil},
		"damaged":               {func(c *Config[int, int]) { c.Dir = damaged }, member.ErrDamaged},
		"without its log":       {func(c *Config[int, int]) { c.Dir = logless }, member.ErrDamaged},
		"another token":         {func(c *Config[int, int]) { c.Token = "other" }, member.ErrForeign},
		"another member's":      {func(c *Config[int, int]) { c.Name, c.Members = "n2", map[string]string{"n2": "127.0.0.1:1"} }, member.ErrForeign},
		"a secret for all":      {func(c *Config[int, int]) { c.SecretFile = open }, member.ErrConfig},
		"another's certificate": {func(c *Config[int, int]) { c.TLS = tlsOf(stranger) }, member.ErrConfig},
		"a key that is none": {func(c *Config[int, int]) {
			c.TLS = member.TLS{CertFile: stranger.Cert, KeyFile: stranger.CA, CAFile: stranger.CA}
		}, member.ErrConfig},
		"a long name": {func(c *Config[int, int]) {
			c.Name = strings.Repeat("n", 257)
			c.Dir, c.Members, c.Listen = c.Dir+"2", map[string]string{c.Name: "127.0.0.1:1"}, "127.0.0.1:0"
		}, member.ErrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			before := leak.Now(t)
			cfg := good
			cfg.listener = leak.Listen(t)
			listener := cfg.listener
			if tc.change(&cfg); cfg.Listen != "" {
				listener.Close()
				cfg.listener = nil
			}
			n, err := Start(cfg)
			if err == nil {
				n.Stop()
			}
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(good.Dir + "2"); err == nil {
				t.Error("a directory was made")
			}
			leak.WantClosed(t, listener)
			before.Settle(t)
		})
	}
	good.Machine, good.listener = &counter{}, leak.Listen(t)
	n = start(t, good) // the directory is free, and as it was
	if sum, err := n.Submit(t.Context(), 1); err != nil || sum != 2 {
		t.Errorf("%d, %v", sum, err)
	}
	good.listener = leak.Listen(t)
	if _, err := Start(good); !errors.Is(err, member.ErrInUse) {
		t.Errorf("a second one on the directory: %v", err)
	}
}

// faultyDisk is a disk whose writes to the log hang while there is a channel, and then fail
// if there is an error.
type faultyDisk struct {
	hang atomic.Pointer[chan struct{}]
	fail atomic.Pointer[error]
}

func (d *faultyDisk) MaybeError(op errorfs.Op) error {
	if !strings.Contains(op.Path, "wal") || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	if hang := d.hang.Load(); hang != nil {
		<-*hang
	}
	if err := d.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (d *faultyDisk) String() string { return "faulty disk" }

var errDisk = errors.New("the disk is on fire")

// onFaultyDisk starts a cluster of one.
func onFaultyDisk(t *testing.T) (*Node[int, int], *faultyDisk) {
	disk := new(faultyDisk)
	cfg := alone(t)
	cfg.Dir, cfg.fs, cfg.stopTimeout = "data", crashfs.Inject(crashfs.NewMem(), disk), 200*time.Millisecond
	n := start(t, cfg)
	if _, err := n.Submit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return n, disk
}

func TestAMemberWhoseDiskFailsSaysWhy(t *testing.T) {
	before := leak.Now(t)
	n, disk := onFaultyDisk(t)
	err := errDisk
	disk.fail.Store(&err)
	if _, err := n.Submit(t.Context(), 1); err == nil {
		t.Error("an operation is acknowledged that is not on the disk")
	}
	await(t, "Failed", n.Failed())
	if !errors.Is(n.Err(), errDisk) {
		t.Errorf("failed with %v", n.Err())
	}
	for range 20 { // it is Ready as well, so that a select has a choice
		if _, err := n.Submit(t.Context(), 1); !errors.Is(err, errDisk) {
			t.Fatalf("Submit: %v", err)
		}
		if err := n.Read(t.Context()); !errors.Is(err, errDisk) {
			t.Fatalf("Read: %v", err)
		}
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
	before.Settle(t)
}

func TestStopDoesNotWaitForADiskThatHangs(t *testing.T) {
	before := leak.Now(t)
	n, disk := onFaultyDisk(t)
	repair := make(chan struct{})
	disk.hang.Store(&repair)
	submitted := make(chan error, 1)
	go func() {
		_, err := n.Submit(context.Background(), 1)
		submitted <- err
	}()
	for n.Status().Replica.DiskWait == 0 {
		time.Sleep(time.Millisecond)
	}
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() {
			if err := n.Stop(); !errors.Is(err, ErrHangs) {
				t.Errorf("Stop: %v", err)
			}
		})
	}
	work.Wait()
	if err := <-submitted; !errors.Is(err, rsm.ErrStopped) {
		t.Errorf("Submit: %v", err)
	}
	n.Status()
	// The disk answers at last, with an error that nobody watches for any more.
	err := errDisk
	disk.fail.Store(&err)
	close(repair)
	await(t, "the end of Stop", n.stopped)
	if err := n.Stop(); err != nil {
		t.Errorf("Stop again: %v", err)
	}
	if !errors.Is(n.Err(), errDisk) {
		t.Errorf("a failure while it stops is not told: %v", n.Err())
	}
	before.Settle(t)
}

// Stop comes at any moment of a start, twice at once, while all methods are being called.
func TestStopAtAnyMoment(t *testing.T) {
	before := leak.Now(t)
	c := newTrio(t, nil)
	c.add("n1", 1, 1)
	for i := range 8 {
		n := c.nodes["n3"]
		if i%4 == 3 {
			await(t, "Ready", n.Ready())
		}
		var work sync.WaitGroup
		for range 2 {
			work.Go(func() {
				for {
					_, err := n.Submit(context.Background(), 0)
					if errors.Is(err, rsm.ErrStopped) {
						return
					}
				}
			})
			work.Go(func() {
				for !errors.Is(n.Read(context.Background()), rsm.ErrStopped) {
				}
			})
			work.Go(func() {
				for !errors.Is(n.TransferLeadership(context.Background(), "n1"), rsm.ErrStopped) {
				}
			})
			work.Go(func() {
				for n.ctx.Err() == nil {
					n.Status()
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(time.Duration(3*i) * time.Millisecond)
		for range 2 {
			work.Go(func() {
				if err := n.Stop(); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if err := n.Err(); err != nil {
			t.Fatal(err)
		}
		c.start("n3")
	}
	for name := range c.nodes {
		c.stop(name)
	}
	before.Settle(t)
}

// A program that waits for nothing but Ready or Failed learns of one of them.
func TestAMemberIsReadyOrFails(t *testing.T) {
	cfg := alone(t)
	n := start(t, cfg)
	await(t, "Ready", n.Ready())
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if s := n.Status(); s.Replica.Term != 0 || s.Name != "n1" {
		t.Errorf("status after Stop: %+v", s)
	}
	cfg.Machine, cfg.listener = unrestorable{&counter{}}, leak.Listen(t)
	cfg.MaxRaftState = 1
	cfg.Dir += "2"
	n = start(t, cfg)
	for range 10 {
		if _, err := n.Submit(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	for n.Status().Replica.Snapshot.Index == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg.listener = leak.Listen(t)
	n = start(t, cfg)
	await(t, "Failed", n.Failed())
	if err := n.Err(); !errors.Is(err, errRestore) {
		t.Errorf("failed with %v", err)
	}
	select {
	case <-n.Ready():
		t.Error("it is ready")
	default:
	}
}

var errRestore = errors.New("cannot restore that")

// unrestorable is a counter whose snapshots are of no use.
type unrestorable struct{ *counter }

func (unrestorable) Restore(io.Reader) error { return errRestore }
