package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"sync/atomic"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"balsa.example/clerk"
)

// output is the format in which a command prints its result: text or json. It is a flag.
type output string

func (o *output) addFlag(c *cobra.Command) {
	*o = "text"
	c.Flags().VarP(o, "output", "o", "output format: text or json")
	c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// String, Set and Type are pflag.Value's.
func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "format" }

func (o *output) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("must be text or json")
	}
	*o = output(s)
	return nil
}

func (o *output) isJSON() bool { return *o == "json" }

// result is a standard output that keeps the first error of a write. Such an error must not look as
// if the command had not been executed.
type result struct {
	to     io.Writer
	failed error                 // of the first write that failed
	live   *atomic.Pointer[task] // whose line is taken away before anything is written
}

func (r *result) Write(b []byte) (int, error) {
	r.live.Load().hide()
	n, err := r.to.Write(b)
	if err != nil && r.failed == nil {
		r.failed = err
	}
	return n, err
}

// close closes the output, and returns the error with which the command ends. Some file systems
// report the error of a write only when the file is closed.
func (r *result) close(err error) error {
	if f, ok := r.to.(io.Closer); ok {
		if err := f.Close(); r.failed == nil {
			r.failed = err
		}
	}
	if r.failed != nil && (err == nil || errors.Is(err, r.failed)) {
		return unreported(r.failed)
	}
	return err
}

func unreported(err error) error {
	return withCode(exitUnreported, "done, but the result could not be written: %w", err)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// keyJSON is a key in the format of -o json. Bytes that are not UTF-8 are in base64.
type keyJSON struct {
	Key            *string `json:"key,omitempty"`
	KeyBase64      string  `json:"key_base64,omitempty"`
	Value          *string `json:"value,omitempty"`
	ValueBase64    string  `json:"value_base64,omitempty"`
	Version        uint64  `json:"version"`
	CreateRevision uint64  `json:"create_revision,omitempty"`
	ModRevision    uint64  `json:"mod_revision,omitempty"`
	Revision       uint64  `json:"revision,omitempty"`
	Lease          string  `json:"lease,omitempty"`
}

func jsonOf(kv clerk.KV, withValue bool) keyJSON {
	j := keyJSON{
		Version: kv.Version, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision, Revision: kv.Revision,
	}
	if kv.Lease != 0 {
		j.Lease = leaseText(kv.Lease)
	}
	j.Key, j.KeyBase64 = textOrBase64([]byte(kv.Key))
	if withValue {
		j.Value, j.ValueBase64 = textOrBase64(kv.Value)
	}
	return j
}

func textOrBase64(b []byte) (text *string, encoded string) {
	if !utf8.Valid(b) {
		return nil, base64.StdEncoding.EncodeToString(b)
	}
	s := string(b)
	return &s, ""
}
