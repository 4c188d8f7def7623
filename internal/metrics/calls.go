package metrics

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// The types of methods, as go-grpc-prometheus calls them, by whose names dashboards ask.
const (
	Unary        = "unary"
	ServerStream = "server_stream"
	ClientStream = "client_stream"
	BidiStream   = "bidi_stream"
)

const lastCode = codes.Unauthenticated

// Calls counts the calls of methods of gRPC, and those that came by another way, and times the unary
// ones. All methods are added before the first call. It is a prometheus.Collector.
type Calls struct {
	// Failures, if not nil, counts the calls that failed, for the reason that Reason gives.
	Failures *Failures
	Reason   func(code codes.Code, text string) string
	methods  map[string]*Call
	started  *prometheus.Desc
	received *prometheus.Desc
	sent     *prometheus.Desc
	handled  *prometheus.Desc
}

// Call counts the calls of one method.
type Call struct {
	of                    *Calls
	service, method, kind string
	started               atomic.Uint64
	received, sent        atomic.Uint64 // messages of streams; those of unary calls follow from started and handled
	handled               [lastCode + 1]atomic.Uint64
	duration              prometheus.Histogram // nil for a stream
}

// NewCalls returns a Calls without methods.
func NewCalls() *Calls {
	labels := []string{"grpc_method", "grpc_service", "grpc_type"}
	return &Calls{
		methods:  map[string]*Call{},
		started:  prometheus.NewDesc("grpc_server_started_total", "Calls of gRPC and of its gateway that have begun.", labels, nil),
		received: prometheus.NewDesc("grpc_server_msg_received_total", "Messages of clients that have been received.", labels, nil),
		sent:     prometheus.NewDesc("grpc_server_msg_sent_total", "Messages that were sent to clients.", labels, nil),
		handled:  prometheus.NewDesc("grpc_server_handled_total", "Calls that have ended, by their code.", append(labels, "grpc_code"), nil),
	}
}

// Add adds a method, by its name as gRPC says it: /package.Service/Method.
func (c *Calls) Add(name, kind string) *Call {
	service, method, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	call := &Call{of: c, service: service, method: method, kind: kind}
	if kind == Unary {
		call.duration = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "grpc_server_handling_seconds", Help: "How long unary calls took.",
			ConstLabels: prometheus.Labels{"grpc_method": method, "grpc_service": service, "grpc_type": kind},
		})
	}
	c.methods[name] = call
	return call
}

// Begin counts a call that begins; nil if there is no such method, or no Calls.
func (c *Calls) Begin(name string) *Call {
	if c == nil {
		return nil
	}
	call := c.methods[name]
	call.Begin()
	return call
}

// Begin counts a call that begins.
func (c *Call) Begin() {
	if c != nil {
		c.started.Add(1)
	}
}

// Received counts a message that a stream has brought.
func (c *Call) Received() {
	if c != nil {
		c.received.Add(1)
	}
}

// Sent counts a message that was sent on a stream.
func (c *Call) Sent() {
	if c != nil {
		c.sent.Add(1)
	}
}

// messages are how many of a method were received and sent. A unary call has one request, and a response if it went well.
func (c *Call) messages() (received, sent uint64) {
	if c.kind == Unary {
		return c.started.Load(), c.handled[codes.OK].Load()
	}
	return c.received.Load(), c.sent.Load()
}

// End counts the end of a call, with a code and, if that is not OK, a text.
func (c *Call) End(began time.Time, code codes.Code, text string) {
	if c == nil {
		return
	}
	if code != codes.OK && c.of.Failures != nil {
		c.of.Failures.Count(c.of.Reason(code, text))
	}
	if code > lastCode {
		code = codes.Unknown
	}
	c.handled[code].Add(1)
	if c.duration != nil {
		c.duration.Observe(time.Since(began).Seconds())
	}
}

// Failed is how many calls of the named methods have ended with one of the codes.
func (c *Calls) Failed(with ...codes.Code) (n uint64) {
	for _, call := range c.methods {
		for _, code := range with {
			n += call.handled[code].Load()
		}
	}
	return n
}

// Open is how many calls of a method have begun, and not ended; 0 if there is no such method.
func (c *Calls) Open(name string) (n uint64) {
	call := c.methods[name]
	if call == nil {
		return 0
	}
	for code := range call.handled { // before those that have begun, of which there are not fewer then
		n += call.handled[code].Load()
	}
	return call.started.Load() - n
}

// Describe implements prometheus.Collector.
func (c *Calls) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.started
	ch <- c.handled
	ch <- c.received
	ch <- c.sent
	for _, call := range c.methods {
		if call.duration != nil {
			call.duration.Describe(ch)
		}
	}
}

// Collect implements prometheus.Collector. A method that nobody has called is shown, too: rates
// need the 0.
func (c *Calls) Collect(ch chan<- prometheus.Metric) {
	for _, call := range c.methods {
		labels := []string{call.method, call.service, call.kind}
		ch <- prometheus.MustNewConstMetric(c.started, prometheus.CounterValue, float64(call.started.Load()), labels...)
		received, sent := call.messages()
		ch <- prometheus.MustNewConstMetric(c.received, prometheus.CounterValue, float64(received), labels...)
		ch <- prometheus.MustNewConstMetric(c.sent, prometheus.CounterValue, float64(sent), labels...)
		for code := range call.handled {
			n := float64(call.handled[code].Load())
			ch <- prometheus.MustNewConstMetric(c.handled, prometheus.CounterValue, n, append(labels, codes.Code(code).String())...)
		}
		if call.duration != nil {
			call.duration.Collect(ch)
		}
	}
}
