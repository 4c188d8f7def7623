package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

const (
	// maxBatchPuts and maxBatchBytes bound a transaction of an import: the servers take so many
	// operations, and the Clerk sends a little more than so many bytes.
	maxBatchPuts  = 128
	maxBatchBytes = 1 << 20
	// putBytes is what a put takes in a message besides key and value, at most.
	putBytes = 32
	// maxLineBytes bounds a line. The largest key and value take less, each byte written as \u00XX.
	maxLineBytes = 6*maxRequestBytes + 1<<20
	// importSession is how long the servers remember the writes of an import that they do not
	// hear of.
	importSession = 30 * time.Second
)

// importHelp says what import does.
const importHelp = `Write the keys and values of FILE, or of the standard input, which has the lines that
"balsa export" prints: JSON objects with key or key_base64, and value or value_base64.
What else they have is ignored: the versions of the keys count on as after any put, and
they hang on no lease.

--etcd FILE takes them from a file of etcd instead: from a snapshot that "etcdctl snapshot
save" wrote, or from the member/snap/db of a member that is stopped. The file is checked
before anything is written, and one that is damaged is refused. The keys are written as
they were last, in the order of their last changes. Leases are granted with the ids and
times to live that they had, and live for that time from the end of the import on;
--without-leases leaves them out, and their keys stay. Roles and users come over with their
permissions and passwords, and authentication is switched on at the end if it was on;
--without-users leaves all that out. A role or a user that is there already stays as it is.

The keys are written in the order of the lines, in transactions of up to 128 lines and
1 MiB, each of which --timeout is for. Keys that exist are replaced, and others stay.

An error names the line, or the record of etcd, at which it stopped: all before are
written, and none from it on. --from-line or --from-record goes on there. The line behind
the last one may be named too: then nothing is left to write. Lines behind that are refused.
`

const importExitHelp = `Exit codes:
  0  done: all is written
  1  any other error
  2  wrong usage, a line that is no key and value, or a file of etcd that is damaged
  3  a lease of etcd has ended before its keys were written
  5  whether the named lines are written is not known
  6  no server could answer in time; the named lines are not written
  7  done, but the result could not be printed: the disk is full, or the reader has ended
  14 the user may not do that, or its password is wrong; the named lines are not written
Where a line is named, all lines before are written, and none behind it. Records of etcd
are lines in this sense.`

func (p *program) importer() *cobra.Command {
	var n connection
	var out output
	var from origin
	c := &cobra.Command{
		Use:        "import [FILE]",
		SuggestFor: []string{"load", "restore"},
		Short:      "Write keys and values from JSON lines, or from a file of etcd",
		Long:       importHelp + connectionHelp + importExitHelp,
		Example: `  balsa import all.jsonl
  balsa import all.jsonl --from-line 1025
  gunzip < users.jsonl.gz | balsa import
  balsa import --etcd snapshot.db`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	from.addFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		source, err := from.open(p, args)
		if err != nil {
			return err
		}
		defer source.Close()
		ck, err := n.connect(p, clerk.WithSession(importSession))
		if err != nil {
			return err
		}
		defer ck.Close()
		w := &batchWriter{connection: &n, clerk: ck, done: &progress{verb: "imported"}, unit: source.unit()}
		told := p.begin(false, w.done.soFar)
		err = source.writeTo(c.Context(), w)
		told.end()
		if err != nil {
			return err
		}
		if out.isJSON() {
			return writeJSON(p.stdout, struct {
				countJSON
				Leases      int    `json:"leases,omitempty"`
				Users       int    `json:"users,omitempty"`
				Roles       int    `json:"roles,omitempty"`
				AuthEnabled bool   `json:"auth_enabled,omitempty"`
				Revision    uint64 `json:"revision,omitempty"`
			}{countJSON{w.done.keys.Load()}, w.leases, w.users, w.roles, w.authEnabled, w.revision})
		}
		_, err = fmt.Fprint(p.stdout, w.done, "\n", w.usersText())
		return err
	}
	return c
}

// origin is the flags that say what is imported.
type origin struct {
	etcd                 string
	fromLine, fromRecord uint64
	withoutLeases        bool
	withoutUsers         bool
}

func (o *origin) addFlags(c *cobra.Command) {
	c.Flags().Uint64Var(&o.fromLine, "from-line", 1, "the first line to write")
	c.Flags().StringVar(&o.etcd, "etcd", "", "a snapshot of etcd, or a stopped member's member/snap/db, to import from")
	c.Flags().Uint64Var(&o.fromRecord, "from-record", 1, "the first record of --etcd to write")
	c.Flags().BoolVar(&o.withoutLeases, "without-leases", false, "do not import the leases of --etcd; their keys stay")
	c.Flags().BoolVar(&o.withoutUsers, "without-users", false, "do not import the users and roles of --etcd")
}

// importSource is what an import reads. Lines and records are its units.
type importSource interface {
	unit() string
	writeTo(context.Context, *batchWriter) error
	io.Closer
}

func (o *origin) open(p *program, args []string) (importSource, error) {
	switch {
	case o.etcd == "" && (o.fromRecord != 1 || o.withoutLeases || o.withoutUsers):
		return nil, usageError("--from-record, --without-leases and --without-users go with --etcd")
	case o.etcd != "" && (len(args) > 0 || o.fromLine != 1):
		return nil, usageError("--etcd goes with neither FILE nor --from-line")
	case o.etcd != "":
		return o.openEtcd(p)
	case len(args) > 0 && args[0] != "-":
		f, err := os.Open(args[0])
		if err != nil {
			return nil, usageError("%w", err)
		}
		return lineSource{f, f, o.fromLine}, nil
	default:
		return lineSource{p.stdin, io.NopCloser(nil), o.fromLine}, nil
	}
}

// lineSource is JSON lines. They are written from one on, which is counted from 1.
type lineSource struct {
	lines io.Reader
	io.Closer
	from uint64
}

func (lineSource) unit() string { return "line" }

// batchWriter writes lines or records. Those of one transaction are pending until it is full.
type batchWriter struct {
	connection *connection
	clerk      *clerk.Clerk
	done       *progress
	unit       string // of what it writes: "line"
	leases     int    // that it has granted
	users      int    // that it has added, as the roles
	roles      int
	// authEnabled tells that it has switched authentication on.
	authEnabled bool
	revision    uint64 // of the store after the last write

	pending []numbered
	keys    map[string]bool // of those that are pending
	bytes   int             // of those
}

// numbered is a pair, the number of its line or record, and its lease or 0.
type numbered struct {
	number uint64
	pair
	lease int64
}

func (l lineSource) writeTo(ctx context.Context, w *batchWriter) error {
	s := bufio.NewScanner(l.lines)
	s.Buffer(nil, maxLineBytes)
	number := uint64(0)
	for s.Scan() && ctx.Err() == nil {
		number++
		if number < l.from || len(s.Bytes()) == 0 {
			continue
		}
		parsed, err := parsePair(s.Bytes())
		if err != nil {
			return w.stop(ctx, number, usageError("line %d: %w", number, err))
		}
		if err := w.add(ctx, numbered{number: number, pair: parsed}); err != nil {
			return err
		}
	}
	err := s.Err()
	switch {
	case ctx.Err() != nil:
		return w.stopped(ctx, max(l.from, number+1))
	case errors.Is(err, bufio.ErrTooLong):
		return w.stop(ctx, number+1, usageError("line %d is longer than %d MiB", number+1, maxLineBytes>>20))
	case err != nil:
		return w.stop(ctx, number+1, fmt.Errorf("read line %d: %w", number+1, err))
	case l.from > number+1: // number+1 is where an import goes on that was stopped behind the last line
		return usageError("--from-line %d: the file has %s; nothing is imported", l.from, counted(int(number), "line"))
	default:
		return w.flush(ctx)
	}
}

// stopped returns the error of an import that was told to stop before a line. What is pending is not
// written.
func (w *batchWriter) stopped(ctx context.Context, number uint64) error {
	if len(w.pending) > 0 {
		number = w.pending[0].number
	}
	return w.resumable(number, fmt.Errorf("stopped: %w", context.Cause(ctx)))
}

// stop writes what stands before a line that cannot be, and returns why it cannot.
func (w *batchWriter) stop(ctx context.Context, number uint64, why error) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	return w.resumable(number, why)
}

// add makes a pair pending. What was pending is written before if it does not fit, or has the key,
// since no transaction changes a key twice.
func (w *batchWriter) add(ctx context.Context, n numbered) error {
	size := len(n.key) + len(n.value) + putBytes
	if len(w.pending) == maxBatchPuts || w.bytes+size > maxBatchBytes || w.keys[n.key] {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.keys == nil {
		w.keys = make(map[string]bool, maxBatchPuts)
	}
	w.pending, w.bytes, w.keys[n.key] = append(w.pending, n), w.bytes+size, true
	return nil
}

// flush writes what is pending.
func (w *batchWriter) flush(ctx context.Context) error {
	all := w.pending
	w.pending, w.bytes, w.keys = nil, 0, nil
	err := w.commit(ctx, all)
	if len(all) > 1 && (errors.Is(err, clerk.ErrTooLarge) || errors.Is(err, clerk.ErrInvalid)) && !errors.Is(err, clerk.ErrMaybe) {
		for i := range all { // one of them is the cause, or all together
			if err := w.commit(ctx, all[i:i+1]); err != nil {
				return w.failed(all[i:i+1], err)
			}
		}
		return nil
	}
	return w.failed(all, err)
}

// commit writes pairs in one transaction. One alone has the limits of a put.
func (w *batchWriter) commit(ctx context.Context, all []numbered) error {
	ctx, cancel := context.WithTimeout(ctx, w.connection.timeout)
	defer cancel()
	switch len(all) {
	case 0:
		return nil
	case 1:
		kv, err := w.clerk.Set(ctx, all[0].key, all[0].value, all[0].options()...)
		if err != nil {
			return err
		}
		w.revision = kv.Revision
	default:
		var puts []clerk.TxnOp
		for _, n := range all {
			puts = append(puts, clerk.OpPut(n.key, n.value, n.options()...))
		}
		result, err := w.clerk.Txn(ctx).Then(puts...).Commit()
		if err != nil {
			return err
		}
		w.revision = result.Revision
	}
	for _, n := range all {
		w.done.add(n.key, n.value)
	}
	return nil
}

func (n *numbered) options() []clerk.PutOption {
	if n.lease == 0 {
		return nil
	}
	return []clerk.PutOption{clerk.WithLease(n.lease)}
}

// failed returns the error of writing lines: which they are, and where to go on.
func (w *batchWriter) failed(lines []numbered, err error) error {
	if err == nil {
		return nil
	}
	if len(lines) == 0 {
		return err
	}
	first, last := lines[0], lines[len(lines)-1]
	what := fmt.Sprintf("%s %d", w.unit, first.number)
	if last.number > first.number {
		what = fmt.Sprintf("%ss %d to %d", w.unit, first.number, last.number)
	}
	return w.resumable(first.number, fmt.Errorf("%s: %w", what, w.connection.explain("put", first.key, err)))
}

// resumable adds to an error where to go on.
func (w *batchWriter) resumable(number uint64, err error) error {
	return fmt.Errorf("%w; all %ss before are written; --from-%s %d goes on there", err, w.unit, w.unit, number)
}
