package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// What a server takes by --max-request-bytes goes in and comes out by the command line, also by an export, and as a
// transaction. Another server that is not told to take it refuses it at once, and nobody has to wonder.
func TestLargeValuesFromTheCommandLine(t *testing.T) {
	const most = 10 << 20
	endpoints, other := oneServer(t, "--max-request-bytes=10485760"), oneServer(t)
	value := strings.Repeat("v", most)
	put := func(in, endpoints string, wantCode int, says string) {
		t.Helper()
		if code, out, errs := balsa(t, in, "put", "k", "-", endpoints); code != wantCode || !strings.Contains(out+errs, says) {
			t.Errorf("put of %d bytes: code %d, out %q, err %.300q", len(in), code, out, errs)
		}
	}
	put(value, endpoints, exitOK, "version=1 revision=2")
	put(value+"v", endpoints, exitUsage, "too large: value has 10485761 bytes, the limit is 10485760")
	put(value+value, endpoints, exitUsage, "too large")
	put(value, other, exitUsage, "too large")
	put(value[:2<<20], other, exitUsage, "too large: value has 2097152 bytes, the limit is 1572864")
	if code, out, errs := balsa(t, "", "get", "k", endpoints); code != exitOK || out != value+"\n" {
		t.Errorf("get: code %d, %d bytes, err %q", code, len(out), errs)
	}
	txn := "if version(k) = 1 then put k '" + strings.Repeat("w", most) + "' prev; get other"
	if code, out, errs := balsa(t, txn, "txn", endpoints); code != exitOK || !strings.Contains(out, value) {
		t.Errorf("txn: code %d, %d bytes, err %.300q", code, len(out), errs)
	}
	code, lines, errs := balsa(t, "", "export", endpoints)
	if code != exitOK || !strings.Contains(lines, strings.Repeat("w", most)) {
		t.Errorf("export: code %d, %d bytes, err %q", code, len(lines), errs)
	}
	if code, _, errs := balsa(t, "", "del", "k", endpoints); code != exitOK {
		t.Error(errs)
	}
	if code, out, errs := balsa(t, lines, "import", endpoints); code != exitOK || !strings.Contains(out, "1 key") {
		t.Errorf("import: code %d, out %q, err %.300q", code, out, errs)
	}
	if code, out, errs := balsa(t, lines, "import", other); code != exitUsage || !strings.Contains(errs, "line 1: ") || !strings.Contains(errs, "too large") {
		t.Errorf("import where it is too large: code %d, out %q, err %.300q", code, out, errs)
	}
	if code, out, _ := balsa(t, "", "get", "k", endpoints); code != exitOK || out != strings.Repeat("w", most)+"\n" {
		t.Errorf("get: code %d, %d bytes", code, len(out))
	}
	// A backup has it, and a server that would not take it now hands it out.
	backup, data := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "data")
	for _, args := range [][]string{{"backup", backup, endpoints}, {"backup", "verify", backup}, {"restore", backup, "--data-dir", data}} {
		if code, _, errs := balsa(t, "", args...); code != exitOK {
			t.Fatalf("%v: code %d, err %q", args, code, errs)
		}
	}
	if code, out, errs := balsa(t, "", "get", "k", oneServer(t, "--data-dir="+data)); code != exitOK || out != strings.Repeat("w", most)+"\n" {
		t.Errorf("get of what was restored: code %d, %d bytes, err %q", code, len(out), errs)
	}
}
