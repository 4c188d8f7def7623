package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"balsa.example/api"
	"balsa.example/clerk"
)

// oneServer runs a server until the test ends, and returns the flag that names it.
func oneServer(t *testing.T, flags ...string) (endpoints string) {
	t.Helper()
	base := freePorts(t, 2)
	args := append([]string{
		"serve", "--data-dir", filepath.Join(t.TempDir(), "data"),
		"--listen-client-urls", loopback(base), "--listen-peer-urls", loopback(base + 1),
	}, flags...)
	_, stop := background(t, "ready to serve client requests", args...)
	t.Cleanup(func() { stop() })
	return "--endpoints=" + loopback(base)
}

// steps is a list of command lines with all that they print, and with a part of the error.
type steps []struct {
	args string
	in   string
	code int
	out  string
	err  string
}

func (all steps) run(t *testing.T, endpoints string) {
	t.Helper()
	for _, s := range all {
		args := strings.Fields(strings.ReplaceAll(s.args, `""`, "EMPTY"))
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "EMPTY", "")
		}
		code, out, errs := balsa(t, s.in, append(args, endpoints)...)
		if code != s.code || out != s.out || !strings.Contains(errs, s.err) || (s.err == "") != (errs == "") {
			t.Errorf("%s: code %d, out %q, err %q", s.args, code, out, errs)
		}
	}
}

func TestManyKeysFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t)
	steps{
		{"get --prefix", "", exitOK, "", ""},
		{"ls", "", exitOK, "", ""},
		{"put a/1 x", "", exitOK, "version=1 revision=2\n", ""},
		{"put a/2 y", "", exitOK, "version=1 revision=3\n", ""},
		{"put b z", "", exitOK, "version=1 revision=4\n", ""},
		{"put a/1 xx", "", exitOK, "version=2 revision=5\n", ""},
		{"put c -", "\xff", exitOK, "version=1 revision=6\n", ""},

		{"get --prefix a/", "", exitOK, "a/1\nxx\na/2\ny\n", ""},
		{"get --prefix a/ --limit 1", "", exitOK, "a/1\nxx\n", ""},
		{"get --prefix a/ --rev 3", "", exitOK, "a/1\nx\na/2\ny\n", ""},
		{"get --prefix a/ --count-only", "", exitOK, "2\n", ""},
		{"get --prefix a/ --count-only --rev 2 -o json", "", exitOK, `{"count":1}` + "\n", ""},
		{"get --prefix none", "", exitOK, "", ""},
		{"get --from-key a/2 --keys-only", "", exitOK, "a/2\nb\nc\n", ""},
		{`get "" --from-key --count-only --consistency local`, "", exitOK, "4\n", ""},
		{"get --from-key b -o json", "", exitOK, `{"key":"b","value":"z","version":1,"create_revision":4,"mod_revision":4,"revision":6}` + "\n" +
			`{"key":"c","value_base64":"/w==","version":1,"create_revision":6,"mod_revision":6,"revision":6}` + "\n", ""},
		{"get a/1 --rev 2", "", exitOK, "x\n", ""},
		{"get b --rev 2", "", exitNotFound, "", `key "b" does not exist`},
		{"get b --rev 7", "", exitError, "", "revision is in the future"},
		{"get b --keys-only", "", exitOK, "b\n", ""},
		{"get bb --keys-only", "", exitNotFound, "", `key "bb" does not exist`},
		{"get bb --count-only", "", exitOK, "0\n", ""},

		{"ls", "", exitOK, "a/1\na/2\nb\nc\n", ""},
		{"ls a/ --limit 1", "", exitOK, "a/1\n", ""},
		{"ls --rev 2", "", exitOK, "a/1\n", ""},
		{"ls b -o json", "", exitOK, `{"key":"b","version":1,"create_revision":4,"mod_revision":4,"revision":6}` + "\n", ""},

		{`del --prefix ""`, "", exitUsage, "", "--all"},
		{"del --prefix", "", exitUsage, "", "accepts 1 arg"},
		{"del --all a", "", exitUsage, "", "all keys"},
		{"del --prefix a/ --version 1", "", exitUsage, "", "--version"},
		{"del --prefix a/", "", exitOK, "deleted 2\n", ""},
		{"del --prefix a/", "", exitOK, "deleted 0\n", ""},
		{"del --prefix b -o json", "", exitOK, `{"prefix":"b","count":1}` + "\n", ""},
		{"del --all", "", exitOK, "deleted 1\n", ""},
		{`del --all --prefix ""`, "", exitOK, "deleted 0\n", ""},
		{"ls", "", exitOK, "", ""},
	}.run(t, endpoints)
}

// More keys than a server puts into a page are read in pages, at one revision.
func TestKeysAreReadInPages(t *testing.T) {
	endpoints := oneServer(t)
	ck, err := clerk.New([]string{strings.TrimPrefix(endpoints, "--endpoints=")})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	value := bytes.Repeat([]byte("v"), 700<<10) // two make a page
	var want []string
	for i := range 7 {
		key := fmt.Sprint("k", i)
		want = append(want, key)
		if _, err := ck.Set(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	n := connection{timeout: patience}
	var got []string
	for kv, err := range n.scan(t.Context(), ck, clerk.Prefix(""), nil) {
		if err != nil || !bytes.Equal(kv.Value, value) {
			t.Fatal(err, len(kv.Value))
		}
		if len(got) == 0 { // is behind the revision that is read
			if _, err := ck.Set(t.Context(), "k9", value); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, kv.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// slowPages is a server that answers each range with a page of one key, after a time.
type slowPages struct{ takes time.Duration }

func (s slowPages) Call(ctx context.Context, _ string, req *api.Request, _ time.Duration) (clerk.Answer, error) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return clerk.Answer{}, ctx.Err()
	}
	key := append(req.GetRange().GetSpan().GetFrom(), 'k')
	return clerk.Answer{Reply: &api.Reply{Code: api.Reply_OK, Revision: 9, Result: &api.Reply_Range{
		Range: &api.RangeReply{Entries: []*api.Entry{{Key: key}}, More: len(key) < 40},
	}}}, nil
}

func (slowPages) Node(string) uint64 { return 0 }
func (slowPages) Close() error       { return nil }

// The timeout of a scan is for each wait for a server, and not for its reader.
func TestScanWaitsForServersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for takes, want := range map[time.Duration]error{time.Second: nil, 4 * time.Second: context.DeadlineExceeded} {
			ck, err := clerk.New([]string{"h:1"}, clerk.WithCaller(slowPages{takes}))
			if err != nil {
				t.Fatal(err)
			}
			n := connection{timeout: 3 * time.Second}
			read, last := 0, error(nil)
			for _, err := range n.scan(t.Context(), ck, clerk.Prefix(""), nil) {
				if last = err; err == nil {
					read++
				}
				time.Sleep(time.Minute)
			}
			if !errors.Is(last, want) || want == nil && read != 21 || want != nil && exitCode(n.explain("ls", "", last)) != exitUnavailable {
				t.Errorf("pages that take %v: %d keys, %v", takes, read, last)
			}
			ck.Close()
		}
	})
}

func TestFlagsThatDoNotGoTogether(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"get a --prefix --from-key", "--from-key"},
		{"get a --keys-only --count-only", "--count-only"},
		{"get a --limit 1", "--limit needs"},
		{"get a --prefix --limit 1 --count-only", "--limit and"},
		{"get a --prefix --raw", "--raw"},
		{"get a --keys-only -v", "--verbose"},
		{"get a b --prefix", "accepts 1 arg"},
		{"ls a b", "accepts at most 1 arg"},
	} {
		code, out, errs := balsa(t, "", strings.Fields(test.args)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, test.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: code %d, out %q, err %q", test.args, code, out, errs)
		}
	}
}
