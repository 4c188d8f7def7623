package clerk

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"go.opentelemetry.io/otel/trace"

	"balsa.example/internal/certs"
)

// Defaults of a Clerk; each has an option to change it.
const (
	DefaultMaxBytes       = 3 << 19 // 1.5 MiB
	DefaultAttemptTimeout = time.Second
)

// Backoff after all servers were asked in vain. It grows to about the time of an election, so
// that a new leader is found soon.
const (
	firstWait = 10 * time.Millisecond
	maxWait   = 250 * time.Millisecond
)

type config struct {
	tls      *tls.Config
	tlsFiles *certs.Files
	dial     func(ctx context.Context, address string) (net.Conn, error)
	caller   Caller
	rand     Rand
	maxBytes int
	pace     Pace

	sessionTTL time.Duration // 0: no session
	login      *login        // nil: no user
	tracer     trace.Tracer  // nil: no spans
}

// Option changes how a Clerk works.
type Option func(*config)

// WithTLS makes the Clerk reach all servers by TLS. Without it https endpoints are
// reached with Go's default configuration. LoadTLS makes one from files; WithTLSFiles
// is for files that are renewed.
func WithTLS(c *tls.Config) Option { return func(o *config) { o.tls = c } }

// WithDialer replaces how connections are made; nil stands for TCP. Dial gets an endpoint
// of New, or the address of a server that another server has named as the leader: host:port
// in lower case. It is called from several goroutines at once, and should return when ctx
// ends, about a second later. The Clerk closes the connection, and speaks TLS over it if
// that is asked for.
//
// So a Clerk needs no socket to reach a server in the same process. A server that is
// dialed so must still have an endpoint, which names it: any host:port will do.
func WithDialer(dial func(ctx context.Context, address string) (net.Conn, error)) Option {
	return func(o *config) { o.dial = dial }
}

// WithCaller replaces the network. The Clerk closes the Caller when it is closed.
func WithCaller(c Caller) Option { return func(o *config) { o.caller = c } }

// WithRand replaces the source of jitter. The Clerk uses it from one goroutine at a time.
func WithRand(r Rand) Option { return func(o *config) { o.rand = r } }

// WithMaxBytes sets how many bytes a key or a value may have before the Clerk itself
// refuses it. The servers have their own limits (--max-request-bytes), and tell the Clerk what they take.
func WithMaxBytes(n int) Option { return func(o *config) { o.maxBytes = n } }

// WithAttemptTimeout sets how long to wait for one server's answer before another is
// asked. It should be well above what a write takes under load: a write that was
// executed just too late may end in ErrMaybe.
func WithAttemptTimeout(d time.Duration) Option {
	return func(o *config) { o.pace.AttemptNanos = int64(d) }
}

// WithUser makes the Clerk act for a user. It gets a token for the password when it connects, and
// another one whenever that is not valid any more. While authentication is off, nobody asks for
// the user. A client certificate whose common name is the user's does without.
func WithUser(name, password string) Option {
	return func(o *config) { o.login = newLogin(name, password) }
}

// WithSession makes all writes of the Clerk exactly once as long as its session lives. The
// session is opened by the first write, and kept alive while the Clerk is open. A write whose
// reply was lost is sent again, whatever it is, and gets its own outcome. So ErrMaybe is left for
// a write whose context ends, and for one whose session ends in between: when no server can be
// reached for as long as ttl. After that the Clerk opens another session.
//
// A server remembers outcomes, so that a write of a session costs it more than another one.
func WithSession(ttl time.Duration) Option { return func(o *config) { o.sessionTTL = ttl } }
