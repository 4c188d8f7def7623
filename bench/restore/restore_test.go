package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestARevisionIsBroughtBack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds balsa")
	}
	program := filepath.Join(t.TempDir(), "balsa")
	if out, err := exec.Command("go", "build", "-o", program, "balsa.example/cmd/balsa").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var out strings.Builder
	o := options{dir: filepath.Join(t.TempDir(), "all"), program: program, size: 4 << 20, keys: 50, value: 4 << 10}
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"wrote 0.00 GiB, to revision 1025,", "balsa backup took", "balsa restore took", "is in order", "at revision 615, and at 3 earlier ones"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, &out)
		}
	}
}
