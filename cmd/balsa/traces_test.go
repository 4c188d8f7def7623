//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// collectorStub takes spans as a collector of OpenTelemetry does.
type collectorStub struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string]int // by the name of the service and that of the span
}

func (c *collectorStub) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.ResourceSpans {
		service := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.name" || a.Key == "service.instance.id" {
				service += a.Value.GetStringValue() + " "
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans[service+s.Name]++
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// startCollector returns a collector, and its address.
func startCollector(t *testing.T) (*collectorStub, string) {
	c := &collectorStub{spans: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, c)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return c, "http://" + l.Addr().String()
}

// TestAProcessSendsItsSpans asks by a flag, by variables of OpenTelemetry, and by etcd's flags. A server sends
// the last spans when it stops.
func TestAProcessSendsItsSpans(t *testing.T) {
	for how, service := range map[string]string{"flag": "n1 balsa ", "variables": "n1 keys ", "etcd": "one etcd "} {
		c, address := startCollector(t)
		base := freePorts(t, 2)
		args := []string{"serve", "--trace-sample", "1"}
		var env []string
		switch how {
		case "flag":
			args = append(args, "--trace-endpoint", address)
		case "variables":
			env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_SERVICE_NAME=keys"}
		case "etcd":
			args = []string{"etcd", "--enable-distributed-tracing", "--distributed-tracing-address", strings.TrimPrefix(address, "http://"),
				"--distributed-tracing-instance-id", "one", "--distributed-tracing-sampling-rate", "1000000",
				"--advertise-client-urls", loopback(base), "--initial-advertise-peer-urls", loopback(base + 1), "--initial-cluster", "n1=" + loopback(base+1)}
		}
		cmd := process(t, append(args, "--name", "n1", "--data-dir", filepath.Join(t.TempDir(), "data"),
			"--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base+1))...)
		output := newLines()
		cmd.Env, cmd.Stderr, cmd.Stdout = append(cmd.Env, env...), output, io.Discard
		ended := start(t, cmd)
		output.await(t, "ready to serve client requests", nil)
		if code, _, errs := balsa(t, "", "put", "a", "1", "--endpoints", loopback(base)); code != exitOK {
			t.Fatal(errs)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatal("it does not stop")
		}
		c.mu.Lock()
		for _, name := range []string{"native put", "propose", "sync", "commit", "apply", "reply"} {
			if c.spans[service+name] == 0 {
				t.Errorf("by %s: no span %q among %v", how, service+name, c.spans)
			}
		}
		c.mu.Unlock()
	}
}

// TestACollectorThatIsNotThereHoldsNothingUp is about requests, and about the end of a server.
func TestACollectorThatIsNotThereHoldsNothingUp(t *testing.T) {
	absent := freePorts(t, 1)
	endpoints := oneServer(t, "--trace-sample", "1", "--trace-endpoint", loopback(absent))
	if code, _, errs := balsa(t, "", "put", "a", "1", endpoints); code != exitOK {
		t.Error(errs)
	}
}

func TestBadTraceFlagsAreRefused(t *testing.T) {
	for flag, says := range map[string]string{
		"--trace-endpoint=10.0.0.1:4317": "it must be http://HOST:PORT",
		"--trace-endpoint=ftp://h:1":     "it must be http://HOST:PORT",
		"--trace-sample=2":               "--trace-sample is 2; it must be from 0 to 1",
	} {
		code, _, errs := balsa(t, "", "serve", "--data-dir", filepath.Join(t.TempDir(), "data"), flag)
		if code != exitUsage || !strings.Contains(errs, says) {
			t.Errorf("%s: code %d, %q", flag, code, errs)
		}
	}
}
