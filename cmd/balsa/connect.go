package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"balsa.example/clerk"
)

const (
	defaultTimeout = 5 * time.Second
	// maxValue is the largest value that any server takes, whatever its --max-request-bytes, and maxRequestBytes more
	// than any request that it takes has.
	maxValue        = 16 << 20
	maxRequestBytes = maxValue + 1<<20
)

// connection is the flags that say how to reach the cluster.
type connection struct {
	flags             *pflag.FlagSet
	endpoints         []string
	caCert, cert, key string
	user, password    string
	timeout           time.Duration
}

func (n *connection) newFlags() *pflag.FlagSet {
	n.flags = pflag.NewFlagSet("connection", pflag.ContinueOnError)
	n.flags.StringSliceVar(&n.endpoints, "endpoints", defaultEndpoints(),
		fmt.Sprintf("servers to talk to, host:port or URLs; others are found ($BALSA_ENDPOINTS) (default 127.0.0.1:%d to %d)",
			defaultBasePort, defaultBasePort+defaultServers-1))
	n.flags.Lookup("endpoints").DefValue = "[]" // said above, in short
	n.flags.StringVar(&n.caCert, "cacert", "", "file of the CA certificates to trust, PEM ($BALSA_CACERT)")
	n.flags.StringVar(&n.cert, "cert", "", "file of the client's own certificate, PEM ($BALSA_CERT)")
	n.flags.StringVar(&n.key, "key", "", "file of the key of that certificate, PEM ($BALSA_KEY)")
	n.flags.StringVar(&n.user, "user", "", "user, as NAME or NAME:PASSWORD ($BALSA_USER)")
	n.flags.StringVar(&n.password, "password", "", "password of --user; better in $BALSA_PASSWORD, which other users of this machine cannot see")
	n.flags.DurationVar(&n.timeout, "timeout", defaultTimeout, "how long to try before giving up ($BALSA_TIMEOUT)")
	return n.flags
}

func (n *connection) addFlags(c *cobra.Command) { c.Flags().AddFlagSet(n.newFlags()) }

// open returns a Clerk, and a context that ends after the timeout.
func (n *connection) open(ctx context.Context, p *program) (*clerk.Clerk, context.Context, context.CancelFunc, error) {
	ck, err := n.connect(p)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := n.within(ctx, p)
	return ck, ctx, cancel, nil
}

// within returns a context that ends after the timeout. Who looks at a terminal is told if that takes long.
func (n *connection) within(ctx context.Context, p *program) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	waiting := p.begin(true, func(elapsed time.Duration) string {
		return fmt.Sprintf("no answer yet after %s; it gives up after %s", elapsed.Round(time.Second), n.timeout)
	})
	return ctx, func() { cancel(); waiting.end() }
}

// load adds what the environment says to the flags, and checks them.
func (n *connection) load(p *program) error {
	if err := layer(n.flags, p.env, nil); err != nil {
		return err
	}
	if n.timeout <= 0 {
		return usageError("--timeout must be above 0")
	}
	if (n.cert == "") != (n.key == "") {
		return usageError("--cert and --key go together")
	}
	return nil
}

// connect returns a Clerk.
func (n *connection) connect(p *program, options ...clerk.Option) (*clerk.Clerk, error) {
	if err := n.load(p); err != nil {
		return nil, err
	}
	if n.caCert != "" || n.cert != "" || n.key != "" {
		options = append(options, clerk.WithTLSFiles(n.caCert, n.cert, n.key))
	}
	if n.user != "" {
		name, password, given := strings.Cut(n.user, ":")
		if !given {
			password = n.password
		}
		options = append(options, clerk.WithUser(name, password))
	} else if n.password != "" {
		return nil, usageError("--password is for a --user")
	}
	ck, err := clerk.New(n.endpoints, append(options, clerk.WithMaxBytes(maxRequestBytes))...)
	if err != nil {
		return nil, usageError("%w", err)
	}
	return ck, nil
}

// reach waits until the cluster answers, for the timeout at most. A command that then takes as long
// as it takes begins with it. Who may not read the key that is asked for has reached it too.
func (p *program) reach(ctx context.Context, n *connection, ck *clerk.Clerk, what string) error {
	ctx, cancel := n.within(ctx, p)
	defer cancel()
	if _, err := ck.Get(ctx, "\x00"); !errors.Is(err, clerk.ErrNoKey) && !errors.Is(err, clerk.ErrPermissionDenied) {
		return n.explainCall(what, err)
	}
	return nil
}

// explain turns a Clerk's error of an operation on key into one with an exit code and with what to
// do about it.
func (n *connection) explain(verb, key string, err error) error {
	var version *clerk.VersionError
	what := fmt.Sprintf("%s %q", verb, short(key))
	switch {
	case err == nil, errors.Is(err, clerk.ErrMaybe):
		return n.explainCall(what, err)
	case errors.Is(err, clerk.ErrNoKey):
		return withCode(exitNotFound, "key %q does not exist", key)
	case errors.As(err, &version):
		return withCode(exitVersion, "key %q is at version %d, not %d; nothing changed", key, version.Current, version.Expected)
	default:
		return n.explainCall(what, err)
	}
}

// explainCall is explain for what is not about one key. what says what failed.
func (n *connection) explainCall(what string, err error) error {
	switch {
	case err == nil, errors.As(err, new(*exitCoder)): // it was explained already
		return err
	case errors.Is(err, clerk.ErrMaybe):
		return withCode(exitMaybe, `%s: outcome unknown, it may have happened; "balsa get" tells: %w`, what, bare(err))
	case errors.Is(err, clerk.ErrNoLease):
		return withCode(exitNotFound, "%s: the lease does not exist, or has ended", what)
	case errors.Is(err, clerk.ErrVersion):
		return withCode(exitVersion, "%s: %w; nothing changed", what, bare(err))
	case errors.Is(err, clerk.ErrCompacted):
		return withCode(exitCompacted, "%s: %w", what, bare(err))
	case errors.Is(err, clerk.ErrTooLarge), errors.Is(err, clerk.ErrInvalid), errors.Is(err, clerk.ErrEmptyKey):
		return usageError("%w", err) // it has the operation and the key already
	case errors.Is(err, clerk.ErrLeaseTTL), errors.Is(err, clerk.ErrTooManyOps), errors.Is(err, clerk.ErrDuplicateKey):
		return usageError("%w", err)
	case clerk.Denied(err):
		return withCode(exitDenied, "%s: %w; see --user", what, bare(err))
	case errors.Is(err, clerk.ErrTLS):
		return withCode(exitUnavailable, "%s: %w; see --endpoints, --cacert, --cert and --key", what, bare(err))
	case errors.Is(err, clerk.ErrPeerPort):
		return withCode(exitUnavailable, "%s: %w; see --endpoints", what, bare(err))
	case errors.Is(err, context.DeadlineExceeded) && errors.Is(err, clerk.ErrBusy):
		return withCode(exitUnavailable, `%s: not done within %s, since a server refuses it (%w); "balsa doctor" says more`, what, n.timeout, bare(err))
	case errors.Is(err, context.DeadlineExceeded):
		return withCode(exitUnavailable, "%s: not done within %s by %s; is a majority of the servers up?%s (%w)",
			what, n.timeout, strings.Join(n.endpoints, ","), n.hint(), bare(err))
	case errors.Is(err, clerk.ErrUnavailable):
		return withCode(exitUnavailable, "%s: not done, none of %s answers: %w", what, strings.Join(n.endpoints, ","), bare(err))
	case status.Code(err) == codes.Unimplemented:
		return fmt.Errorf("%s: the server is of an older version, which has no such command", what)
	default:
		return fmt.Errorf("%s: %w", what, bare(err))
	}
}

// hint is for a first try, with nobody there.
func (n *connection) hint() string {
	if n.flags == nil || n.flags.Changed("endpoints") {
		return ""
	}
	return ` "balsa dev" runs some on this machine`
}

// bare returns a Clerk's error without the operation and the key with which it begins.
func bare(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// short returns a key for a message, shortened if it is long.
func short(key string) string {
	if len(key) > 64 {
		return key[:64] + "..."
	}
	return key
}
