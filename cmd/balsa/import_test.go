package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestExportAndImport(t *testing.T) {
	endpoints := oneServer(t)
	exported := `{"key":"a","value":"1","version":1,"create_revision":2,"mod_revision":2}` + "\n" +
		`{"key":"b","value_base64":"/w==","version":2,"create_revision":3,"mod_revision":4}` + "\n" +
		`{"key":"b\"\n<é>","value":"","version":1,"create_revision":5,"mod_revision":5}` + "\n" +
		`{"key_base64":"/wA=","value":"binary key","version":1,"create_revision":6,"mod_revision":6}` + "\n"
	file := filepath.Join(t.TempDir(), "all.jsonl")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	steps{
		{"export", "", exitOK, "", "exported 0 keys"},
		{"put a 1", "", exitOK, "version=1 revision=2\n", ""},
		{"put b 1", "", exitOK, "version=1 revision=3\n", ""},
		{"put b -", "\xff", exitOK, "version=2 revision=4\n", ""},
	}.run(t, endpoints)
	for _, args := range [][]string{{"put", "b\"\n<é>", ""}, {"put", "\xff\x00", "binary key"}} {
		if code, _, errs := balsa(t, "", append(args, endpoints)...); code != exitOK {
			t.Fatal(errs)
		}
	}
	again := strings.NewReplacer(`"version":2`, `"version":1`, ":2,", ":8,", ":3,", ":8,", ":5,", ":8,", ":6,", ":8,",
		":2}", ":8}", ":4}", ":8}", ":5}", ":8}", ":6}", ":8}").Replace(exported)
	steps{
		{"export", "", exitOK, exported, "exported 4 keys, 23 B\n"},
		{"export b --rev 3 -o json", "", exitOK, `{"key":"b","value":"1","version":1,"create_revision":3,"mod_revision":3}` + "\n", `{"count":1}`},
		{"export --rev 9", "", exitError, "", "future"},
		{"del --all", "", exitOK, "deleted 4\n", ""},
		{"import -o json", exported, exitOK, `{"count":4,"revision":8}` + "\n", ""},
		{"export", "", exitOK, again, "exported 4 keys"},
		{"import " + file, "", exitOK, "imported 4 keys, 23 B\n", ""},
		{"import - --from-line 4", exported, exitOK, "imported 1 keys, 12 B\n", ""},
		{"import --from-line 5", exported, exitOK, "imported 0 keys, 0 B\n", ""},
		{"import --from-line 6", exported, exitUsage, "", "--from-line 6: the file has 4 lines; nothing is imported"},
		{"import --from-line 3", "\n", exitUsage, "", "the file has 1 line;"},
		{"import " + file + "2", "", exitUsage, "", "no such file"},
		{"import " + filepath.Dir(file), "", exitError, "", "read line 1"},
	}.run(t, endpoints)
}

// lineOf returns a line of an import.
func lineOf(key, value string) string {
	return fmt.Sprintf("{\"key_base64\":%q,\"value_base64\":%q}\n",
		base64.StdEncoding.EncodeToString([]byte(key)), base64.StdEncoding.EncodeToString([]byte(value)))
}

// An import writes in transactions that are bounded, each of which has one revision.
func TestImportWritesInTransactions(t *testing.T) {
	endpoints := oneServer(t)
	small, large := "", ""
	for i := range 300 {
		small += lineOf(fmt.Sprintf("k%03d", i), "v")
	}
	for i := range 5 {
		large += lineOf(fmt.Sprint("l", i), strings.Repeat("v", 400<<10))
	}
	largest := lineOf(strings.Repeat("k", 64<<10), strings.Repeat("v", 3<<19))
	steps{
		{"import -o json", small, exitOK, `{"count":300,"revision":4}` + "\n", ""},                                        // 128, 128, 44
		{"import -o json", large, exitOK, `{"count":5,"revision":7}` + "\n", ""},                                          // 2, 2, 1
		{"import -o json", lineOf("a", "1") + largest + lineOf("b", "1"), exitOK, `{"count":3,"revision":10}` + "\n", ""}, // each alone
		{"import -o json", lineOf("a", "2") + "\n" + lineOf("b", "2") + lineOf("a", "3"), exitOK, `{"count":3,"revision":12}` + "\n", ""},
		{"get a", "", exitOK, "3\n", ""},
	}.run(t, endpoints)
}

// A line that cannot be written is named. What stands before it is written, and nothing behind it.
func TestImportStopsAtABadLine(t *testing.T) {
	endpoints := oneServer(t)
	for name, bad := range map[string]struct{ line, says string }{
		"no JSON":                {"{", "line 3: it is not a JSON object"},
		"a part of a line":       {`{"key":"c","va`, "line 3: it is not a JSON object"},
		"too much":               {`{"key":"c","value":""} x`, "line 3: it is not a JSON object"},
		"a list":                 {"[]", "line 3: it is not a JSON object, but of type array"},
		"no key":                 {`{"value":""}`, "line 3: it has neither key nor key_base64"},
		"an empty key":           {`{"key":"","value":""}`, "line 3: the key is empty"},
		"no value":               {`{"key":"c","valeu":""}`, "line 3: it has neither value nor value_base64"},
		"two values":             {`{"key":"c","value":"","value_base64":""}`, "line 3: it has both"},
		"a number":               {`{"key":"c","value":1}`, "line 3: value is of type number, not text"},
		"bad base64":             {`{"key":"c","value_base64":"*"}`, "line 3: value_base64 is not base64"},
		"half a character":       {`{"key":"c\udc80","value":""}`, `line 3: \udc80 is half a character`},
		"not UTF-8":              {"{\"key\":\"c\",\"value\":\"\xff\"}", "line 3: it is not UTF-8"},
		"too large for a line":   {strings.Repeat(" ", maxLineBytes+1), "line 3 is longer than 103 MiB"},
		"too large for a key":    {strings.TrimSpace(lineOf(strings.Repeat("k", 64<<10+1), "")), "line 3: "},
		"too large for a value":  {strings.TrimSpace(lineOf("c", strings.Repeat("v", 3<<19+1))), "line 3: "},
		"too large for a server": {strings.TrimSpace(lineOf("c", strings.Repeat("v", 3<<20))), "line 3: "},
	} {
		t.Run(name, func(t *testing.T) {
			defer balsa(t, "", "del", "--all", endpoints)
			input := lineOf("a", "1") + lineOf("b", "1") + bad.line + "\n" + lineOf("d", "1")
			code, out, errs := balsa(t, input, "import", endpoints)
			if code != exitUsage || out != "" || !strings.Contains(errs, bad.says) ||
				!strings.HasSuffix(errs, "; all lines before are written; --from-line 3 goes on there\n") || strings.Count(errs, "\n") != 1 || goish(errs) {
				t.Errorf("code %d, out %q, err %.300q", code, out, errs)
			}
			if _, keys, _ := balsa(t, "", "ls", endpoints); keys != "a\nb\n" {
				t.Errorf("written: %q", keys)
			}
			if len(bad.line) > maxLineBytes {
				return // is not skipped either
			}
			if code, _, errs := balsa(t, input, "import", "--from-line", "4", endpoints); code != exitOK {
				t.Error(errs)
			}
			if _, keys, _ := balsa(t, "", "ls", endpoints); keys != "a\nb\nd\n" {
				t.Errorf("written in the end: %q", keys)
			}
		})
	}
}

func TestImportSaysWhereItStopped(t *testing.T) {
	input := lineOf("a", "1") + lineOf("b", "1") + lineOf("a", "2")
	code, out, errs := balsa(t, input, "import", "--endpoints=127.0.0.1:1", "--timeout", "50ms", "--from-line", "1")
	if code != exitUnavailable || out != "" || !strings.Contains(errs, "lines 1 to 2: ") || !strings.Contains(errs, "--from-line 1 goes on there") {
		t.Errorf("without servers: %d %q", code, errs)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupt signal received"))
	var buf bytes.Buffer
	p := program{stdin: strings.NewReader(input), stdout: io.Discard, stderr: &buf, env: noEnv}
	if code := p.run(ctx, []string{"import", "--endpoints=127.0.0.1:1"}); code != exitError ||
		buf.String() != "balsa: stopped: interrupt signal received; all lines before are written; --from-line 1 goes on there\n" {
		t.Errorf("stopped: %d %q", code, &buf)
	}
}

func TestProgressIsToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		p := program{stderr: &told, env: noEnv}
		done := &progress{verb: "exported"}
		task := p.begin(false, done.soFar)
		time.Sleep(time.Millisecond) // so that no key comes at the moment of a line
		for range 1100 {
			done.add("k", make([]byte, 1<<20-1))
			time.Sleep(10 * time.Millisecond)
		}
		task.end()
		if want := "exported 500 keys, 500 MiB so far\nexported 1,000 keys, 1.0 GiB so far\n"; told.String() != want {
			t.Errorf("told %q", told.String())
		}
	})
}

func TestCompactFromTheCommandLine(t *testing.T) {
	endpoints := oneServer(t)
	steps{
		{"compact --keep 5", "", exitOK, "nothing to forget below revision 1\n", ""},
		{"put a 1", "", exitOK, "version=1 revision=2\n", ""},
		{"put a 2", "", exitOK, "version=2 revision=3\n", ""},
		{"put a 3", "", exitOK, "version=3 revision=4\n", ""},
		{"put a 4", "", exitOK, "version=4 revision=5\n", ""},
		{"compact 3", "", exitOK, "compacted at revision 3\n", ""},
		{"get a --rev 3", "", exitOK, "2\n", ""},
		{"get a --rev 4", "", exitOK, "3\n", ""},
		{"compact 6", "", exitError, "", "revision is in the future"},
		{"compact --keep 2 -o json", "", exitOK, `{"revision":4,"compacted":true}` + "\n", ""},
		{"compact --keep 2 -o json", "", exitOK, `{"revision":4,"compacted":false}` + "\n", ""},
		{"compact --keep 1", "", exitOK, "compacted at revision 5\n", ""},
		{"compact", "", exitUsage, "", "accepts 1 arg"},
		{"compact --keep 0", "", exitUsage, "", "at least 1"},
		{"compact 1 --keep 1", "", exitUsage, "", "in place of REVISION"},
		{"compact 0", "", exitUsage, "", "REVISION"},
		{"compact x", "", exitUsage, "", "REVISION"},
	}.run(t, endpoints)
	nobody := fmt.Sprintf("--endpoints=127.0.0.1:%d", freePorts(t, 1))
	if code, _, errs := balsa(t, "", "compact", "--keep", "2", "--timeout", "50ms", nobody); code != exitUnavailable || !strings.Contains(errs, "compact --keep 2: ") {
		t.Errorf("without servers: %d %q", code, errs)
	}
	for _, args := range []string{"compact 2", "get a --rev 2", "ls --rev 2", "export --rev 2"} {
		code, out, errs := balsa(t, "", append(strings.Fields(args), endpoints)...)
		if code != exitCompacted || out != "" || !strings.Contains(errs, "compacted") {
			t.Errorf("%s: %d %q %q", args, code, out, errs)
		}
	}
}
