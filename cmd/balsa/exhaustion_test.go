//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"balsa.example/clerk"
)

// limited is balsa as a process that may have few descriptors, and what it writes.
func limited(t *testing.T, descriptors int, args ...string) (cmd *exec.Cmd, output *lines) {
	t.Helper()
	cmd = process(t, args...)
	cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, descriptors), cmd.Path}, args...)
	cmd.Path = "/bin/sh"
	output = newLines()
	cmd.Stdout, cmd.Stderr = output, output
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(output)
		}
	})
	return cmd, output
}

// freeAddresses returns addresses with free ports.
func freeAddresses(t *testing.T, n int) (all []string) {
	base := freePorts(t, n)
	for i := range n {
		all = append(all, fmt.Sprintf("127.0.0.1:%d", base+i))
	}
	return all
}

// leak opens connections and does not close them.
func leak(t *testing.T, address string, n int) []net.Conn {
	t.Helper()
	var all []net.Conn
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
	}
	return all
}

// closed counts the connections that the other side has closed, or will soon.
func closed(all []net.Conn, soon time.Duration) int {
	var n atomic.Int32
	var work sync.WaitGroup
	for _, conn := range all {
		work.Go(func() {
			conn.SetReadDeadline(time.Now().Add(soon))
			if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
				n.Add(1)
			}
		})
	}
	work.Wait()
	return int(n.Load())
}

// A server of 64 descriptors is connected to by hundreds of clients that only sit there,
// at all its ports. It goes on: it writes its log and snapshots, answers its clients and
// its operators, and lets new ones in.
func TestIdleConnectionsDoNotExhaustTheServer(t *testing.T) {
	t.Parallel()
	addresses := freeAddresses(t, 3)
	client, peer, metrics := addresses[0], addresses[1], addresses[2]
	server, output := limited(t, 64, "serve", "--data-dir", t.TempDir(), "--max-raft-state", "1000000",
		"--listen-client-urls", "http://"+client, "--listen-peer-urls", "http://"+peer, "--listen-metrics-urls", "http://"+metrics)
	ended := start(t, server)
	output.await(t, "ready to serve", nil)

	ck, err := clerk.New([]string{client})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	put := func(ck *clerk.Clerk, key string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := ck.Set(ctx, key, make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	put(ck, "k")
	const leaked = 300
	for _, address := range addresses {
		if n := closed(leak(t, address, leaked), 2*time.Second); n < leaked-64 {
			t.Errorf("%s: %d of %d connections were closed at once", address, n, leaked)
		}
		leak(t, address, leaked)
	}
	for range 50 { // five snapshots' worth
		put(ck, "k")
	}
	page := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	var text []byte
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		r, err := page.Get("http://" + metrics + "/metrics")
		if err == nil {
			text, err = io.ReadAll(r.Body)
			r.Body.Close()
		}
		if err == nil && !strings.Contains(string(text), "balsa_snapshot_index 0\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no metrics, or no snapshot: %v\n%s", err, text)
		}
	}
	for _, of := range []string{"connections", "handshakes", "metrics"} {
		if strings.Contains(string(text), fmt.Sprintf("balsa_server_surplus_total{of=%q} 0\n", of)) {
			t.Errorf("no surplus of %s is counted", of)
		}
	}
	another, err := clerk.New([]string{client})
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	put(another, "another")
	server.Process.Signal(syscall.SIGTERM)
	if err := within(t, "the end", ended); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if n := strings.Count(output.String(), "WARN"); n > 50 {
		t.Errorf("%d warnings", n)
	}
}

func TestTooFewDescriptorsAreAnError(t *testing.T) {
	t.Parallel()
	server, output := limited(t, 32, "serve", "--data-dir", t.TempDir())
	within(t, "the end", start(t, server))
	if code := server.ProcessState.ExitCode(); code != 2 || !strings.Contains(output.String(), "this server may have 32 open files") {
		t.Errorf("exit code %d: %s", code, output)
	}
}
