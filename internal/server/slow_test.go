package server

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"balsa.example/clerk"
)

// slowLog is a log whose lines about slow requests can be waited for.
type slowLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *slowLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// await returns the first line about a slow request that has all these parts.
func (l *slowLog) await(t *testing.T, parts ...string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		text := l.text.String()
		l.mu.Unlock()
	lines:
		for line := range strings.Lines(text) {
			for _, part := range append(parts, `msg="slow request"`) {
				if !strings.Contains(line, part) {
					continue lines
				}
			}
			return line
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Fatalf("no line about a slow request has %q:\n%s", parts, l.text.String())
	return ""
}

// TestSlowRequestsTellWhereTheirTimeWent calls everything slow, and looks at the lines of the log: of
// each face, at the leader and elsewhere.
func TestSlowRequestsTellWhereTheirTimeWent(t *testing.T) {
	c := newTestCluster(t, options{servers: 3})
	logs := make([]*slowLog, 3)
	for i := range c.configs {
		logs[i] = new(slowLog)
		c.configs[i].Logger = slog.New(slog.NewTextHandler(logs[i], nil))
		c.configs[i].SlowRequest = time.Nanosecond
	}
	c.startAll()
	leader := c.leader()
	follower := (leader + 1) % 3
	ctx := etcdContext(t)
	const secret = "a value is never told"
	long := "long-" + strings.Repeat("k", 100)

	if _, err := c.clerk.Set(ctx, "app/1", []byte(secret)); err != nil {
		t.Fatal(err)
	}
	line := logs[c.leader()].await(t, "api=native", "kind=put", "key=app/1", "outcome=ok", "client=127.0.0.1:", "leads=true")
	// The other disks may be so much faster that the own one has not begun.
	stages := regexp.MustCompile(` index=[1-9]\d* term=[1-9]\d* leads=true propose=\S+ (disk_queue=\S+ )?(sync=\S+ )?commit=\S+ apply_queue=\S+ apply=\S+ reply=\S+\n$`)
	if !stages.MatchString(line) || strings.Contains(line, secret) || strings.Contains(line, "user=") {
		t.Errorf("a put: %s", line)
	}
	if _, err := c.clerk.Get(ctx, "app/1"); err != nil {
		t.Fatal(err)
	}
	line = logs[c.leader()].await(t, "api=native", "kind=get", "key=app/1")
	if !regexp.MustCompile(` fresh=\S+ read=\S+ reply=\S+\n$`).MatchString(line) || strings.Contains(line, "index=") {
		t.Errorf("a get: %s", line)
	}
	for _, err := range c.clerk.Range(ctx, clerk.Prefix(long)) {
		t.Fatal(err)
	}
	logs[c.leader()].await(t, "api=native", "kind=range", "key="+long[:64]+"... ", " fresh=")

	kv := pb.NewKVClient(c.etcdConn(follower))
	if _, err := kv.Put(ctx, &pb.PutRequest{Key: []byte("app/2"), Value: []byte(secret)}); err != nil {
		t.Fatal(err)
	}
	line = logs[follower].await(t, "api=etcd", "kind=put", "key=app/2", "outcome=ok", "client=127.0.0.1:")
	stages = regexp.MustCompile(` index=[1-9]\d* term=[1-9]\d* leads=(false forward|true propose)=\S+ .*commit=\S+ apply_queue=\S+ apply=\S+\n$`)
	if !stages.MatchString(line) || strings.Contains(line, secret) {
		t.Errorf("a put that was forwarded: %s", line)
	}
	if _, err := kv.Range(ctx, &pb.RangeRequest{Key: []byte("app/2"), RangeEnd: []byte{0}}); err != nil {
		t.Fatal(err)
	}
	logs[follower].await(t, "api=etcd", "kind=range", "key=app/2", " fresh=", " read=")
	if _, err := kv.Compact(ctx, &pb.CompactionRequest{Revision: 1 << 40}); err == nil {
		t.Fatal("a compaction to the future succeeds")
	}
	logs[follower].await(t, "api=etcd", "kind=compact", "required revision is a future revision")
	if _, text := fetch(t, "http://"+c.endpoints[follower]+"/metrics"); !strings.Contains(string(text), `balsa_requests_slow_total{kind="compact"} 1`) {
		t.Errorf("the metrics count no slow compaction")
	}
}
