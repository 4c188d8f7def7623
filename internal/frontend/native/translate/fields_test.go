package translate

import (
	"reflect"
	"slices"
	"testing"

	"balsa.example/api"
	"balsa.example/kv"
)

// fill sets each exported field of what v points to, but for those named. It returns the
// names of the fields that it has set.
func fill(t *testing.T, v any, but ...string) (names []string) {
	t.Helper()
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		field, f := s.Type().Field(i), s.Field(i)
		if !field.IsExported() || slices.Contains(but, field.Name) {
			continue
		}
		switch {
		case f.CanUint():
			f.SetUint(1)
		case f.CanInt():
			f.SetInt(1)
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.Kind() == reflect.String:
			f.SetString("text")
		case f.Kind() == reflect.Slice:
			f.SetBytes([]byte("bytes"))
		default:
			t.Fatalf("field %s is of no known kind", field.Name)
		}
		names = append(names, field.Name)
	}
	return names
}

// without returns a copy of what v points to, with one field zero.
func without[T any](v *T, name string, copyOf func(*T) *T) *T {
	c := copyOf(v)
	reflect.ValueOf(c).Elem().FieldByName(name).SetZero()
	return c
}

// A field of a Request that no operation had would vanish silently.
func TestOperationHasEachFieldOfTheRequest(t *testing.T) {
	req := new(api.Request)
	// These are for the server: which reply is meant, how a read is served, until when.
	names := fill(t, req, "Id", "Consistency", "TimeoutMs", "Session", "Call")
	whole := operation(req)
	for _, name := range names {
		if got := operation(without(req, name, (*api.Request).Copy)); reflect.DeepEqual(got, whole) {
			t.Errorf("%s of a request does not arrive in the operation", name)
		}
	}
	if v := reflect.ValueOf(whole); v.NumField() != len(names) {
		t.Errorf("an operation has %d fields, of which a request sets %d", v.NumField(), len(names))
	}
}

// Likewise what became of an operation: each field of a Result is in the Reply.
func TestReplyHasEachFieldOfTheResult(t *testing.T) {
	var r kv.Result
	names := fill(t, &r, "Code") // by its number: TestHandlerExecutes
	var h Handler
	whole := h.outcome(7, r)
	for _, name := range names {
		got := h.outcome(7, *without(&r, name, func(r *kv.Result) *kv.Result { c := *r; return &c }))
		if reflect.DeepEqual(got, whole) {
			t.Errorf("%s of a result does not arrive in the reply", name)
		}
	}
}
