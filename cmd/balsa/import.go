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
	maxLineBytes = 16 << 20
	// importSession is how long the servers remember the writes of an import that they do not
	// hear of.
	importSession = 30 * time.Second
)

const importExitHelp = `Exit codes:
  0  done: all is written
  1  any other error
  2  wrong usage, or a line that is no key and value
  5  whether the named lines are written is not known
  6  no server could answer in time; the named lines are not written
  7  done, but the result could not be printed: the disk is full, or the reader has ended
Where a line is named, all lines before are written, and none behind it.`

func (p *program) importer() *cobra.Command {
	var n connection
	var out output
	var from uint64
	c := &cobra.Command{
		Use:        "import [FILE]",
		SuggestFor: []string{"load"},
		Short:      "Write keys and values from JSON lines",
		Long: `Write the keys and values of FILE, or of the standard input, which has the lines that
"balsa export" prints: JSON objects with key or key_base64, and value or value_base64.
What else they have is ignored: the versions of the keys count on as after any put, and
they hang on no lease.

The keys are written in the order of the lines, in transactions of up to 128 lines and
1 MiB, each of which --timeout is for. Keys that exist are replaced, and others stay.

An error names the line at which it stopped: all lines before are written, and none from
it on. --from-line goes on there.
` + connectionHelp + importExitHelp,
		Example: `  balsa import all.jsonl
  balsa import all.jsonl --from-line 1025
  gunzip < users.jsonl.gz | balsa import`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().Uint64Var(&from, "from-line", 1, "the first line to write")
	c.RunE = func(c *cobra.Command, args []string) error {
		lines := p.stdin
		if len(args) > 0 && args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return usageError("%w", err)
			}
			defer f.Close()
			lines = f
		}
		ck, err := n.connect(p, clerk.WithSession(importSession))
		if err != nil {
			return err
		}
		defer ck.Close()
		w := &lineWriter{connection: &n, clerk: ck, done: newProgress(p.stderr, "imported")}
		if err := w.writeAll(c.Context(), lines, from); err != nil {
			return err
		}
		if out.isJSON() {
			return writeJSON(p.stdout, struct {
				countJSON
				Revision uint64 `json:"revision,omitempty"`
			}{countJSON{w.done.keys}, w.revision})
		}
		_, err = fmt.Fprintln(p.stdout, w.done)
		return err
	}
	return c
}

// lineWriter writes lines. Those of one transaction are pending until it is full.
type lineWriter struct {
	connection *connection
	clerk      *clerk.Clerk
	done       *progress
	revision   uint64 // of the store after the last write

	pending []numbered
	keys    map[string]bool // of those that are pending
	bytes   int             // of those
}

// numbered is a pair and the number of its line.
type numbered struct {
	line uint64
	pair
}

// writeAll writes the lines from one on, which is counted from 1.
func (w *lineWriter) writeAll(ctx context.Context, lines io.Reader, from uint64) error {
	s := bufio.NewScanner(lines)
	s.Buffer(nil, maxLineBytes)
	number := uint64(0)
	for s.Scan() && ctx.Err() == nil {
		number++
		if number < from || len(s.Bytes()) == 0 {
			continue
		}
		parsed, err := parsePair(s.Bytes())
		if err != nil {
			return w.stop(ctx, number, usageError("line %d: %w", number, err))
		}
		if err := w.add(ctx, numbered{number, parsed}); err != nil {
			return err
		}
	}
	err := s.Err()
	switch {
	case ctx.Err() != nil:
		first := max(from, number+1)
		if len(w.pending) > 0 {
			first = w.pending[0].line
		}
		return resumable(first, fmt.Errorf("stopped: %w", context.Cause(ctx)))
	case errors.Is(err, bufio.ErrTooLong):
		return w.stop(ctx, number+1, usageError("line %d is longer than %d MiB", number+1, maxLineBytes>>20))
	case err != nil:
		return w.stop(ctx, number+1, fmt.Errorf("read line %d: %w", number+1, err))
	default:
		return w.flush(ctx)
	}
}

// stop writes what stands before a line that cannot be, and returns why it cannot.
func (w *lineWriter) stop(ctx context.Context, line uint64, why error) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	return resumable(line, why)
}

// add makes a pair pending. What was pending is written before if it does not fit, or has the key,
// since no transaction changes a key twice.
func (w *lineWriter) add(ctx context.Context, n numbered) error {
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
func (w *lineWriter) flush(ctx context.Context) error {
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
func (w *lineWriter) commit(ctx context.Context, all []numbered) error {
	ctx, cancel := context.WithTimeout(ctx, w.connection.timeout)
	defer cancel()
	switch len(all) {
	case 0:
		return nil
	case 1:
		kv, err := w.clerk.Set(ctx, all[0].key, all[0].value)
		if err != nil {
			return err
		}
		w.revision = kv.Revision
	default:
		var puts []clerk.TxnOp
		for _, n := range all {
			puts = append(puts, clerk.OpPut(n.key, n.value))
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

// failed returns the error of writing lines: which they are, and where to go on.
func (w *lineWriter) failed(lines []numbered, err error) error {
	if err == nil {
		return nil
	}
	if len(lines) == 0 {
		return err
	}
	first, last := lines[0], lines[len(lines)-1]
	what := fmt.Sprintf("line %d", first.line)
	if last.line > first.line {
		what = fmt.Sprintf("lines %d to %d", first.line, last.line)
	}
	return resumable(first.line, fmt.Errorf("%s: %w", what, w.connection.explain("put", first.key, err)))
}

// resumable adds to an error where to go on.
func resumable(line uint64, err error) error {
	return fmt.Errorf("%w; all lines before are written; --from-line %d goes on there", err, line)
}
