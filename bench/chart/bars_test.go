package chart

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
)

func TestBarsShowAllThatTheyAreGiven(t *testing.T) {
	f := Bars{Title: "a < b", Note: "note", Panels: []BarPanel{
		{Title: "puts", Bars: []Bar{{"1 caller", "etcd", 1.75, 1.5, 2}, {"1 caller", "other", 0.66, 0.6, 0.7}, {"100 callers", "etcd", 9.65, 9, 11}}},
		{Title: "gets"},
		{Title: "alone in its row", Bars: []Bar{{"1 caller", "etcd", 1, 1, 1}}},
	}}
	var b bytes.Buffer
	if err := f.Draw(&b); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b.Bytes(), new(struct{})); err != nil {
		t.Fatalf("not well-formed: %v in\n%s", err, &b)
	}
	for _, part := range []string{"a &lt; b", ">note<", ">puts<", ">gets<", ">alone in its row<", ">1.8×<", ">0.66×<", ">9.7×<", `class="bar c1"`} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("no %q in\n%s", part, &b)
		}
	}
	if bars, lines := strings.Count(b.String(), `class="bar`), strings.Count(b.String(), `class="equal"`); bars != 4 || lines != 3 {
		t.Errorf("%d bars, %d lines of equality", bars, lines)
	}
}
