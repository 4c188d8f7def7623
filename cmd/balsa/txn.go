package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// maxTxnText bounds a transaction's text. No request is as large, each byte written as \xXX.
const maxTxnText = 4*maxRequestBytes + 1<<20

func (p *program) txn() *cobra.Command {
	var n connection
	var out output
	var file string
	c := &cobra.Command{
		Use:        "txn [TEXT...]",
		Aliases:    []string{"transaction"},
		SuggestFor: []string{"if", "cas", "atomic"},
		Short:      "Change and read several keys at once, on conditions",
		Long: `Execute a transaction: conditions, and the operations that depend on them, all in one
revision. It comes as arguments, from a file, or from the standard input:

` + txnGrammar + `

All conditions see the store as it was before the transaction. No key may be changed twice.
` + connectionHelp + exitHelp(exitOK, exitError, exitUsage, exitNotFound, exitMaybe, exitUnavailable, exitUnreported, exitElse),
		Example: `  balsa txn 'if version(a) = 1 and value(b) = "x" then put a 2; del c else get a'
  balsa txn 'if missing(prefix jobs/) then put state idle'
  balsa txn 'put a 1; put b 2'      # both or none
  balsa txn -f transfer.txn -o json
  echo 'get prefix a/ limit 10; get prefix b/ limit 10' | balsa txn`,
	}
	n.addFlags(c)
	out.addFlag(c)
	c.Flags().StringVarP(&file, "file", "f", "", "file with the transaction; -: the standard input, as without arguments")
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := p.txnSource(file, args)
		if err != nil {
			return err
		}
		txn, err := parseTxn(text)
		if err != nil {
			return fmt.Errorf("txn: %w", err)
		}
		ck, ctx, cancel, err := n.open(c.Context(), p)
		if err != nil {
			return err
		}
		defer ck.Close()
		defer cancel()
		r, err := ck.Txn(ctx).If(txn.conditions...).Then(clerkOps(txn.then)...).Else(clerkOps(txn.otherwise)...).Commit()
		if err != nil {
			return n.explainCall("txn", err)
		}
		if out.isJSON() {
			err = writeJSON(p.stdout, txn.json(r))
		} else {
			_, err = io.WriteString(p.stdout, txn.describe(r, ""))
		}
		if err == nil && !r.Succeeded {
			err = exitStatus(exitElse)
		}
		return err
	}
	return c
}

// txnSource returns the text of a transaction.
func (p *program) txnSource(file string, args []string) (string, error) {
	if len(args) > 0 {
		if file != "" {
			return "", usageError("txn takes arguments or --file, not both")
		}
		return strings.Join(args, " "), nil
	}
	in := p.stdin
	if file != "" && file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", usageError("--file: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxTxnText+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the transaction: %w", err)
	case len(text) > maxTxnText:
		return "", usageError("the transaction has more than %d bytes", maxTxnText)
	}
	return string(text), nil
}

// branch returns the operations that were executed.
func (t *txnText) branch(r *clerk.TxnResult) []txnOp {
	if r.Succeeded {
		return t.then
	}
	return t.otherwise
}

// describe is a result as text: a line for the transaction, and one for each operation and each key.
func (t *txnText) describe(r *clerk.TxnResult, indent string) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%ssucceeded=%t revision=%d\n", indent, r.Succeeded, r.Revision)
	for i, op := range t.branch(r) {
		if i >= len(r.Results) {
			break // the reply had no room for it
		}
		result := r.Results[i]
		if op.txn != nil {
			s.WriteString(op.txn.describe(result.Txn, indent+"  "))
			continue
		}
		fmt.Fprintf(&s, "%s%s %s", indent, op.verb, op.keys)
		switch op.verb {
		case "get":
			fmt.Fprintf(&s, " count=%d", result.Count)
		case "del":
			fmt.Fprintf(&s, " deleted=%d", result.Deleted)
		}
		if result.More {
			s.WriteString(" more=true")
		}
		s.WriteByte('\n')
		for _, kv := range result.KVs {
			fmt.Fprintf(&s, "%s  %s\n", indent, kvText(kv))
		}
	}
	if r.Incomplete {
		s.WriteString(indent + "incomplete: the reply had no room for all that was read\n")
	}
	return s.String()
}

// kvText is a key on one line.
func kvText(kv clerk.KV) string {
	text := fmt.Sprintf("%s = %s version=%d create_revision=%d mod_revision=%d",
		strconv.Quote(kv.Key), strconv.Quote(string(kv.Value)), kv.Version, kv.CreateRevision, kv.ModRevision)
	if kv.Lease != 0 {
		text += " lease=" + leaseText(kv.Lease)
	}
	return text
}

// txnJSON is the result of a transaction in the format of -o json.
type txnJSON struct {
	Succeeded  bool        `json:"succeeded"`
	Revision   uint64      `json:"revision"`
	Results    []txnOpJSON `json:"results"`
	Incomplete bool        `json:"incomplete,omitempty"`
}

// txnOpJSON is the result of one operation of it. Keys are what get found, or with prev what was
// there before.
type txnOpJSON struct {
	Op      string    `json:"op"`
	Keys    []keyJSON `json:"keys,omitempty"`
	Count   *int64    `json:"count,omitempty"`
	More    bool      `json:"more,omitempty"`
	Deleted *int64    `json:"deleted,omitempty"`
	Txn     *txnJSON  `json:"txn,omitempty"`
}

func (t *txnText) json(r *clerk.TxnResult) *txnJSON {
	j := &txnJSON{Succeeded: r.Succeeded, Revision: r.Revision, Results: []txnOpJSON{}, Incomplete: r.Incomplete}
	for i, op := range t.branch(r) {
		if i >= len(r.Results) {
			break
		}
		result := r.Results[i]
		one := txnOpJSON{Op: op.verb, More: result.More}
		switch op.verb {
		case "get":
			one.Count = &result.Count
		case "del":
			one.Deleted = &result.Deleted
		case "txn":
			one.Txn = op.txn.json(result.Txn)
		}
		for _, kv := range result.KVs {
			kv.Revision = 0
			one.Keys = append(one.Keys, jsonOf(kv, true))
		}
		j.Results = append(j.Results, one)
	}
	return j
}
