package metrics

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

func TestCallsAreCountedByMethodAndCode(t *testing.T) {
	calls := NewCalls()
	calls.Add("/a.B/Get", Unary)
	calls.Add("/a.B/Watch", BidiStream)
	for range 3 {
		calls.Begin("/a.B/Get").End(time.Now(), codes.OK, "")
	}
	calls.Begin("/a.B/Get").End(time.Now(), codes.Unavailable, "")
	calls.Begin("/a.B/Watch").End(time.Now(), codes.Code(99), "") // whatever a handler returns
	watch := calls.Begin("/a.B/Watch")
	watch.Received()
	watch.Sent()
	watch.Sent()
	calls.Begin("/a.B/Nothing").End(time.Now(), codes.OK, "")
	cfg := config(example)
	cfg.Collectors = []prometheus.Collector{calls}
	families := scrape(t, Handler(cfg))
	for _, want := range []struct {
		name   string
		value  float64
		labels []string // code, method, service, type
	}{
		{"grpc_server_started_total", 4, []string{"Get", "a.B", "unary"}},
		{"grpc_server_started_total", 2, []string{"Watch", "a.B", "bidi_stream"}},
		{"grpc_server_msg_received_total", 4, []string{"Get", "a.B", "unary"}},
		{"grpc_server_msg_sent_total", 3, []string{"Get", "a.B", "unary"}},
		{"grpc_server_msg_received_total", 1, []string{"Watch", "a.B", "bidi_stream"}},
		{"grpc_server_msg_sent_total", 2, []string{"Watch", "a.B", "bidi_stream"}},
		{"grpc_server_handled_total", 3, []string{"OK", "Get", "a.B", "unary"}},
		{"grpc_server_handled_total", 1, []string{"Unavailable", "Get", "a.B", "unary"}},
		{"grpc_server_handled_total", 0, []string{"DataLoss", "Get", "a.B", "unary"}},
		{"grpc_server_handled_total", 1, []string{"Unknown", "Watch", "a.B", "bidi_stream"}},
		{"grpc_server_handling_seconds", 4, []string{"Get", "a.B", "unary"}},
	} {
		if got := value(t, families[want.name], want.labels...); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	if n := calls.Failed(codes.Unavailable, codes.DeadlineExceeded); n != 1 {
		t.Errorf("%d calls failed", n)
	}
}
