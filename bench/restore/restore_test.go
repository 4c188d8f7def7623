package main

import (
	"path/filepath"
	"strings"
	"testing"

	"balsa.example/bench/service"
)

func TestARevisionIsBroughtBack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds balsa")
	}
	program := filepath.Join(t.TempDir(), "balsa")
	if err := service.Build(t.Context(), program); err != nil {
		t.Fatal(err)
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
