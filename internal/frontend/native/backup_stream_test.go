package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
	"balsa.example/internal/backup"
	"balsa.example/internal/check/crashfs"
	"balsa.example/raft"
)

// TestABackupHasAllThatWasAcknowledged, from any server, and a second one fetches what is new.
func TestABackupHasAllThatWasAcknowledged(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		disk := crashfs.NewMem()
		for round := range 4 {
			var revision uint64
			for i := range 50 {
				stat, err := root.Set(ctx, fmt.Sprint("key ", i), []byte(fmt.Sprint(round)))
				if err != nil {
					t.Fatal(err)
				}
				revision = max(revision, stat.Revision)
			}
			from, err := root.OpenBackup(ctx)
			if err != nil {
				t.Fatal(err)
			}
			p, fresh, err := backup.Receive(ctx, disk, "backup", from, nil)
			if err = errors.Join(err, from.Close()); err != nil || !fresh || p.Revision != revision {
				t.Fatalf("backup %d: %v, revision %d, want %d", round, err, p.Revision, revision)
			}
		}
		d, err := backup.Open(disk, "backup")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(ctx, nil, func(err error) { t.Error(err) }); err != nil {
			t.Error(err)
		}
	})
}

// TestTheTimeOfABackup is not later than what is in it: changes go on while a server waits for its state.
func TestTheTimeOfABackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newNetwork(t)
		defer c.close()
		c.leader()
		c.net.SetLatency(20 * time.Millisecond)
		waited := time.Duration(0)
		for n := range c.servers {
			kv, done := c.nativeClient(n + 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			stream, err := kv.Backup(ctx)
			if err != nil {
				t.Fatal(err)
			}
			asked := time.Now()
			if err := stream.Send(new(api.BackupRequest)); err != nil {
				t.Fatal(err)
			}
			r, err := stream.Recv()
			if err != nil || r.ClusterId == 0 || r.TakenUnixMs > asked.UnixMilli() {
				t.Errorf("server %d: it is of %s, asked for at %s: %v", n+1, time.UnixMilli(r.GetTakenUnixMs()), asked, err)
			}
			waited += time.Since(asked)
			cancel()
			done()
		}
		if waited == 0 {
			t.Error("no server has waited for what others know")
		}
	})
}

func TestBackupsAreForRoot(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		for user, want := range map[string]error{"": clerk.ErrUnauthenticated, "both": clerk.ErrPermissionDenied} {
			options := []clerk.Option{clerk.WithUser(user, user)}
			if user == "" {
				options = nil
			}
			ck := c.clerk(options...)
			if b, err := ck.OpenBackup(ctx); !errors.Is(err, want) {
				t.Errorf("user %q: %v, %v", user, b, err)
			}
			ck.Close()
		}
	})
}

// TestASilentServerIsNamedSo: without a majority no server knows what was acknowledged, and a Clerk waits for none for ever.
func TestASilentServerIsNamedSo(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		for id := range raft.NodeID(3) {
			c.net.Disconnect(id + 1)
		}
		began := time.Now()
		if _, err := root.OpenBackup(context.Background()); !errors.Is(err, clerk.ErrUnavailable) || !strings.Contains(err.Error(), "said nothing for 30s") || strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %s", took)
		}
		c.net.Heal()
	})
}

// TestBackupsAreBounded in number and in time.
func TestBackupsAreBounded(t *testing.T) {
	withUsers(t, func(ctx context.Context, c *network, root *clerk.Clerk) {
		var open []*clerk.Backup
		servers := 3
		for range maxBackups * servers {
			b, err := root.OpenBackup(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, b)
		}
		if _, err := root.OpenBackup(ctx); err == nil || !strings.Contains(err.Error(), "2 backups are made from this server already") {
			t.Errorf("one more: %v", err)
		}
		time.Sleep(BackupTime) // nobody asks for anything
		data, err := open[0].File(ctx, []byte("x"), 0)
		if err == nil {
			_, err = data.Read(make([]byte, 1))
		}
		if !errors.Is(err, clerk.ErrBackupTime) {
			t.Errorf("after %s: %v", BackupTime, err)
		}
		time.Sleep(time.Second)
		b, err := root.OpenBackup(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		data, err = b.File(ctx, []byte("no such file"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := data.Read(make([]byte, 1)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file that does not exist: %v", err)
		}
	})
}
