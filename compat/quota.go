package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// quota fills a server that has a small quota until it takes no more, and makes room again as etcd's
// manual says. How many keys fit is left open: etcd counts pages of its file.
func quota(t *T) {
	const large, most = 1 << 20, 64
	s := t.alone("--quota-backend-bytes=" + fmt.Sprint(16*large))
	value := bytes.Repeat([]byte("x"), large)
	key := func(i int) []byte { return t.b(fmt.Sprintf("k%02d", i)) }
	put := func(i int) error {
		_, err := t.sendTo(0, &pb.PutRequest{Key: key(i), Value: value})
		return err
	}
	t.await("quota", func() bool { return t.hasQuota(16 * large) }) // a new cluster of balsa has it a moment after its birth
	n := 0
	err := put(n)
	for ; err == nil && n < most; err = put(n) {
		n++
	}
	t.say("fill", "some keys fit: %t; then %s", n > 4 && n < most, errorText(err))
	t.await("alarm", func() bool { return len(t.alarms()) > 0 }) // etcd raises it a moment later
	t.say("alarms", "%s", t.alarmsText())
	health := "http://" + s.endpoint + "/health"
	t.say("health", "%s", t.body(health))
	t.say("health but for it", "%s", t.body(health+"?exclude=NOSPACE"))
	largeOp := opPut(key(most), string(value))
	for _, step := range []struct {
		name string
		r    proto.Message
	}{
		{"put", &pb.PutRequest{Key: key(most), Value: value}},
		{"txn with a put", &pb.TxnRequest{Success: ops(largeOp)}},
		{"txn with a put in the other branch", &pb.TxnRequest{Failure: ops(largeOp)}},
		{"txn without a put", &pb.TxnRequest{Success: ops(opGet(key(0)))}},
		{"range", &pb.RangeRequest{Key: key(0), RangeEnd: key(most), CountOnly: true, Limit: 1}},
		{"lease list", &pb.LeaseLeasesRequest{}},
		{"delete", &pb.DeleteRangeRequest{Key: key(1), RangeEnd: key(most)}},
	} {
		_, err := t.sendTo(0, step.r)
		t.say(step.name, "%s", errorText(err))
	}
	r, err := t.sendTo(0, &pb.RangeRequest{Key: key(0)})
	t.fail("range", err)
	for _, step := range []struct {
		name string
		r    proto.Message
	}{
		{"compaction", &pb.CompactionRequest{Revision: r.(*pb.RangeResponse).Header.Revision, Physical: true}},
		{"defragment", &pb.DefragmentRequest{}},
	} {
		_, err := t.sendTo(0, step.r)
		t.say(step.name, "%s", errorText(err))
	}
	for _, a := range t.alarms() { // as "etcdctl alarm disarm" does
		_, err := t.sendTo(0, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: a.MemberID, Alarm: a.Alarm})
		t.fail("disarm", err)
	}
	t.say("alarms after", "%s", t.alarmsText())
	t.say("put after", "%s", errorText(put(1)))
	t.say("health after", "%s", t.body(health))
}

// alone starts a server that is a cluster of its own, to which the check speaks from then on.
func (t *T) alone(flags ...string) *server {
	first, err := t.cluster.ports(2)
	t.fail("ports", err)
	s := &server{
		name: "alone", program: t.cluster.servers[0].program, log: filepath.Join(t.cluster.dir, "alone.log"),
		endpoint: loopback(first), peer: loopback(first + 1),
	}
	s.args = append(s.argsOf(t.cluster.dir, []string{s.name + "=http://" + s.peer}, "new"), flags...)
	t.fail("start", s.start())
	t.cleanup = append(t.cleanup, func() { s.stop(syscall.SIGKILL) })
	t.fail("ready", s.awaitReady(t.ctx))
	conn, err := grpc.NewClient(s.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	t.fail("connect", err)
	t.cleanup = append(t.cleanup, func() { conn.Close() })
	t.conns = []*grpc.ClientConn{conn}
	return s
}

func (t *T) hasQuota(bytes int64) bool {
	r, err := t.sendTo(0, &pb.StatusRequest{})
	return err == nil && r.(*pb.StatusResponse).DbSizeQuota == bytes
}

func (t *T) alarms() []*pb.AlarmMember {
	r, err := t.sendTo(0, &pb.AlarmRequest{})
	t.fail("alarms", err)
	return r.(*pb.AlarmResponse).Alarms
}

func (t *T) alarmsText() string {
	text := "none"
	for i, a := range t.alarms() {
		text = fmt.Sprintf("%d: %v, of a member: %t", i+1, a.Alarm, a.MemberID != 0)
	}
	return text
}

// body is what a GET answers.
func (t *T) body(url string) string {
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Get(url)
	t.fail("get "+url, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	t.fail("get "+url, err)
	return fmt.Sprintf("%d %s", resp.StatusCode, text)
}
