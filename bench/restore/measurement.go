package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"balsa.example/bench/service"
	"balsa.example/clerk"
)

const (
	// callers write at the same time.
	callers = 32
	// compared is at how many revisions the keys are compared: the restored one, and earlier ones.
	compared = 4
	// The revision that is restored is that many hundredths of the newest one.
	restored = 60
)

// keepAll keeps the whole history.
var keepAll = []string{"--history-age=0", "--history-revisions=0"}

type measurement struct {
	options
	w io.Writer
}

func (m *measurement) run(ctx context.Context) error {
	backup, fresh := filepath.Join(m.dir, "backup"), filepath.Join(m.dir, "fresh")
	newest, before, err := m.original(ctx, backup)
	if err != nil {
		return err
	}
	revision := newest * restored / 100
	if err := m.balsa(ctx, "restore", backup, "--data-dir", filepath.Join(fresh, "n1"), "--revision", fmt.Sprint(revision), "--keep-revisions"); err != nil {
		return err
	}
	if err := m.balsa(ctx, "check", filepath.Join(fresh, "n1")); err != nil {
		return err
	}
	b, err := service.StartBalsa(ctx, m.program, fresh, 1, keepAll...)
	if err != nil {
		return err
	}
	after, err := m.hashes(ctx, b.Clerk(), revision)
	if err = errors.Join(err, b.Close()); err != nil {
		return err
	}
	for i, hash := range after {
		if hash != before[i] {
			return fmt.Errorf("at %d %% of revision %d the keys have the hash %x, and had %x", 100*(i+1)/compared, revision, hash, before[i])
		}
	}
	_, err = fmt.Fprintf(m.w, "at revision %d, and at %d earlier ones, all keys have the hashes that they had: %x\n", revision, compared-1, after[compared-1][:8])
	return err
}

// original fills a server, backs it up, and removes it. It returns the newest revision, and the hashes at those
// that will be compared.
func (m *measurement) original(ctx context.Context, backup string) (newest uint64, hashes [compared][sha256.Size]byte, err error) {
	dir := filepath.Join(m.dir, "original")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, hashes, err
	}
	b, err := service.StartBalsa(ctx, m.program, dir, 1, keepAll...)
	if err != nil {
		return 0, hashes, err
	}
	if newest, err = m.fill(ctx, b.Clerk()); err == nil {
		hashes, err = m.hashes(ctx, b.Clerk(), newest*restored/100)
	}
	if err == nil {
		err = m.balsa(ctx, "backup", backup, "--endpoints", b.Endpoint(0))
	}
	return newest, hashes, errors.Join(err, b.Close(), os.RemoveAll(dir))
}

// fill writes the history, and returns its newest revision.
func (m *measurement) fill(ctx context.Context, ck *clerk.Clerk) (newest uint64, err error) {
	began := time.Now()
	puts := m.size / int64(m.value)
	var next atomic.Int64
	var last atomic.Uint64
	errs := make([]error, callers)
	var running sync.WaitGroup
	for c := range callers {
		running.Go(func() {
			rng, value := rand.NewChaCha8([32]byte{byte(c)}), make([]byte, m.value)
			for i := next.Add(1); i <= puts && errs[c] == nil; i = next.Add(1) {
				rng.Read(value) // so that nothing can be packed
				var kv clerk.KV
				if kv, errs[c] = ck.Set(ctx, fmt.Sprintf("key-%08d", rng.Uint64()%uint64(m.keys)), value); errs[c] == nil {
					raise(&last, kv.ModRevision)
				}
			}
		})
	}
	running.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(m.w, "wrote %.2f GiB, to revision %d, in %.1f s\n", float64(m.size)/(1<<30), last.Load(), time.Since(began).Seconds())
	return last.Load(), err
}

func raise(v *atomic.Uint64, to uint64) {
	for now := v.Load(); now < to && !v.CompareAndSwap(now, to); now = v.Load() {
	}
}

// hashes are those of all keys at revision, and at earlier ones in equal distances.
func (m *measurement) hashes(ctx context.Context, ck *clerk.Clerk, revision uint64) (all [compared][sha256.Size]byte, err error) {
	for i := range all {
		h := sha256.New()
		for kv, err := range ck.Range(ctx, clerk.FromKey(""), clerk.AtRevision(revision*uint64(i+1)/compared)) {
			if err != nil {
				return all, err
			}
			for _, n := range []uint64{uint64(len(kv.Key)), uint64(len(kv.Value)), kv.Version, kv.CreateRevision, kv.ModRevision} {
				h.Write(binary.BigEndian.AppendUint64(nil, n))
			}
			io.WriteString(h, kv.Key)
			h.Write(kv.Value)
		}
		h.Sum(all[i][:0])
	}
	return all, nil
}

// balsa runs a command, and prints what it prints and how long it took.
func (m *measurement) balsa(ctx context.Context, args ...string) error {
	began := time.Now()
	cmd := exec.CommandContext(ctx, m.program, args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return fmt.Errorf("balsa %s: %w", args[0], err)
	}
	_, err = fmt.Fprintf(m.w, "balsa %s took %.1f s: %s", args[0], time.Since(began).Seconds(), out)
	return err
}
