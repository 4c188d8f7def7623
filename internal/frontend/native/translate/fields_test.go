package translate

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	// These are for the server: which reply is meant, how a read is served, until when, whose span it is.
	names := fill(t, req, "Id", "Consistency", "TimeoutMs", "Session", "Call", "Trace")
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
	whole := h.result(7, r)
	for _, name := range names {
		got := h.result(7, *without(&r, name, func(r *kv.Result) *kv.Result { c := *r; return &c }))
		if reflect.DeepEqual(got, whole) {
			t.Errorf("%s of a result does not arrive in the reply", name)
		}
	}
}

// whole returns a message with each field set, and those of the messages in it.
func whole[M proto.Message](m M) M {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsList() {
			list := m.ProtoReflect().Mutable(f).List()
			list.Append(something(f, list.NewElement()))
			continue
		}
		m.ProtoReflect().Set(f, something(f, m.ProtoReflect().NewField(f)))
	}
	return m
}

func something(f protoreflect.FieldDescriptor, fresh protoreflect.Value) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.MessageKind:
		whole(fresh.Message().Interface())
		return fresh
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("bytes"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(1).Number())
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	default:
		return protoreflect.ValueOfUint64(1)
	}
}

// arrive checks that what a message is translated to depends on each of its fields, but for
// those named.
func arrive[M proto.Message](t *testing.T, m M, translated func(M) (any, error), but ...string) {
	t.Helper()
	want, err := translated(m)
	if err != nil {
		t.Fatal(err)
	}
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if slices.Contains(but, string(f.Name())) || !m.ProtoReflect().Has(f) {
			continue
		}
		less := proto.Clone(m)
		less.ProtoReflect().Clear(f)
		if got, err := translated(less.(M)); err == nil && reflect.DeepEqual(got, want) {
			t.Errorf("%s does not arrive", f.FullName())
		}
	}
}

func TestFieldsOfCallsArrive(t *testing.T) {
	span := &api.Span{From: []byte("a"), To: []byte("b")}
	withSpan := func(m proto.Message) {
		f := m.ProtoReflect().Descriptor().Fields().ByName("span")
		m.ProtoReflect().Set(f, protoreflect.ValueOfMessage(span.ProtoReflect()))
	}
	arrive(t, span, func(s *api.Span) (any, error) { s2, err := spanOf(s); return s2, err })
	arrive(t, &api.Span{From: []byte("a"), Open: true}, func(s *api.Span) (any, error) { s2, err := spanOf(s); return s2, err })

	r := whole(new(api.Range))
	withSpan(r)
	arrive(t, r, func(r *api.Range) (any, error) { return rangeOf(r) })
	arrive(t, whole(new(api.Put)), func(p *api.Put) (any, error) { return putOf(p) })
	d := whole(new(api.DeleteRange))
	withSpan(d)
	arrive(t, d, func(d *api.DeleteRange) (any, error) { return deleteOf(d) })

	compare := whole(new(api.Compare))
	withSpan(compare)
	compare.Value = nil
	arrive(t, compare, func(c *api.Compare) (any, error) { return compareOf(c) })
	compare.Target, compare.Value, compare.Number = api.Compare_VALUE, []byte("v"), 0
	arrive(t, compare, func(c *api.Compare) (any, error) { return compareOf(c) })

	op := &api.TxnOp{Op: &api.TxnOp_Range{Range: r}}
	txn := &api.Txn{Compares: []*api.Compare{compare}, Then: []*api.TxnOp{op}, Else: []*api.TxnOp{op}}
	arrive(t, txn, func(t *api.Txn) (any, error) { return txnOf(t, 0) })
	arrive(t, whole(new(api.Session)), func(s *api.Session) (any, error) { return sessionOf(&api.Request{Session: s}), nil })
}

// Each field of a key that was found is in the reply.
func TestEntriesHaveEachField(t *testing.T) {
	var e kv.Entry
	names := fill(t, &e)
	translated := func(e kv.Entry) *api.Entry { return entryOf(&e, &room{keys: 1, bytes: 1}) }
	for _, name := range names {
		if got := translated(*without(&e, name, func(e *kv.Entry) *kv.Entry { c := *e; return &c })); proto.Equal(got, translated(e)) {
			t.Errorf("%s of an entry does not arrive in the reply", name)
		}
	}
}

// Every code of package kv has one of its own in a reply, or is INVALID on purpose.
func TestCodesAreTranslated(t *testing.T) {
	invalid := []kv.Code{kv.CodeEmptyKey, kv.CodeUnknownKind, kv.CodeInvalid, kv.CodeNoAlarm, kv.CodeTooManyAlarms}
	seen := map[api.Reply_Code]kv.Code{}
	for code := kv.CodeOK; !strings.Contains(code.String(), "unknown result code"); code++ {
		reply := new(api.Reply)
		refused(reply, code)
		if reply.Code == api.Reply_INVALID {
			if !slices.Contains(invalid, code) {
				t.Errorf("%v has no code in a reply", code)
			}
			continue
		}
		if before, ok := seen[reply.Code]; ok {
			t.Errorf("%v and %v are both %s", before, code, reply.Code)
		}
		seen[reply.Code] = code
	}
}

// That the machine had no room makes a reply incomplete, as that the reply has none.
func TestResultsThatAreCutMakeAReplyIncomplete(t *testing.T) {
	for _, tt := range []struct {
		r   kv.OpResult
		cut bool
	}{
		{kv.OpResult{Put: &kv.PutResult{}}, false},
		{kv.OpResult{Put: &kv.PutResult{More: true}}, true},
		{kv.OpResult{Range: &kv.RangeResult{Count: 1}}, false},
		{kv.OpResult{Range: &kv.RangeResult{Count: 2, More: true, Entries: []kv.Entry{{}}}}, false},
		{kv.OpResult{Range: &kv.RangeResult{Count: 2, More: true}}, true},
		{kv.OpResult{Delete: &kv.DeleteResult{Deleted: 1}}, false},
		{kv.OpResult{Delete: &kv.DeleteResult{Deleted: 1, More: true}}, true},
	} {
		left := &room{keys: 1, bytes: 1}
		txnReply(&kv.TxnResult{Responses: []kv.OpResult{{Txn: &kv.TxnResult{Responses: []kv.OpResult{tt.r}}}}}, left)
		if left.cut != tt.cut {
			t.Errorf("%+v: cut %t", tt.r, left.cut)
		}
	}
}
