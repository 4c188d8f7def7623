package member

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"balsa.example/internal/roster"
	"balsa.example/transport"
)

// A change to weigh must not be made by a member of a version that knows no weighing: it reads neither a
// change nor a list, and refuses.
func TestAnOlderMemberMakesNoChangeThatIsToBeWeighed(t *testing.T) {
	var older struct{ Change, List json.RawMessage }
	for _, q := range []request{{Weigh: &roster.Change{Kind: roster.Remove, ID: 1}}, {Move: 1}, {Question: []byte("q")}} {
		b, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &older); err != nil || older.Change != nil || older.List != nil {
			t.Errorf("%s: an older member reads %s %s, %v", b, older.Change, older.List, err)
		}
	}
}

func TestARequestIsForOneThing(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: false, `{"Change":{}}`: true, `{"List":{}}`: true, `{"Move":1}`: true, `{"Question":""}`: true, `{"Weigh":{}}`: true,
		`{"Change":{},"Weigh":{}}`: false, `{"Move":1,"List":{}}`: false,
	} {
		var q request
		if err := json.Unmarshal([]byte(text), &q); err != nil || q.whole() != want {
			t.Errorf("%s: %t, %v", text, q.whole(), err)
		}
	}
}

func TestQuestionsAreAnsweredByTheProgram(t *testing.T) {
	cluster, err := NewCluster("t", map[string]string{"n1": "10.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	m := &Member{cfg: Config{Cluster: cluster}}
	ask := func() (a answer, err error) {
		b, err := m.answer(t.Context(), transport.Caller{ID: 1}, []byte(`{"Question":"cQ=="}`))
		if err != nil {
			return a, fromWire(err)
		}
		return a, json.Unmarshal(b, &a)
	}
	if _, err := ask(); !errors.Is(err, ErrBadChange) {
		t.Errorf("a member without Answer: %v", err)
	}
	m.cfg.Answer = func(_ context.Context, question []byte) ([]byte, error) { return append(question, '!'), nil }
	if a, err := ask(); err != nil || string(a.Text) != "q!" {
		t.Errorf("%q, %v", a.Text, err)
	}
	m.cfg.Answer = func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no") }
	if _, err := ask(); !errors.Is(err, ErrBadChange) {
		t.Errorf("an Answer that fails: %v", err)
	}
}
