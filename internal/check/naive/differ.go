package naive

import (
	"bytes"
	"fmt"
	"reflect"

	"balsa.example/kv"
	"balsa.example/state"
)

// Differ tells how an answer differs from the naive one, "" if it does not. A nil value and an
// empty one are the same. Of an outcome a session may have kept the code only.
func Differ(got, want state.Result) string {
	if got.Kept == state.KeptCode {
		return differ(codeOnly(got), codeOnly(want))
	}
	return differ(got, want)
}

// codeOnly is what a session keeps of an outcome in any case.
func codeOnly(r state.Result) state.Result {
	kept := state.Result{Result: kv.Result{Code: r.Code}, Replayed: r.Replayed, DoneAt: r.DoneAt}
	if r.Txn != nil {
		kept.Txn = &kv.TxnResult{Code: r.Txn.Code, Succeeded: r.Txn.Succeeded}
	}
	return kept
}

// DifferRange compares ranges.
func DifferRange(got, want kv.RangeResult) string { return differ(got, want) }

// DifferEvents compares the events of a revision.
func DifferEvents(got, want []kv.Event) string { return differ(got, want) }

func differ(got, want any) string {
	if same(reflect.ValueOf(got), reflect.ValueOf(want)) {
		return ""
	}
	return fmt.Sprintf("got  %s\nwant %s", Text(got), Text(want))
}

// same is reflect.DeepEqual, but for nil and empty slices.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return same(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		if a.Type() == reflect.TypeFor[[]byte]() {
			return bytes.Equal(a.Bytes(), b.Bytes())
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// Text writes a command or an answer for people, with what its pointers point to. Fields that
// are zero are left out.
func Text(v any) string {
	var b bytes.Buffer
	text(&b, reflect.ValueOf(v))
	return b.String()
}

func text(b *bytes.Buffer, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		text(b, v.Elem())
	case reflect.Struct:
		b.WriteByte('{')
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() && v.Type().Field(i).IsExported() {
				fmt.Fprintf(b, " %s:", v.Type().Field(i).Name)
				text(b, f)
			}
		}
		b.WriteString(" }")
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[[]byte]() {
			fmt.Fprintf(b, "%.40q", v.Bytes())
			return
		}
		b.WriteByte('[')
		for i := range v.Len() {
			text(b, v.Index(i))
			b.WriteByte(' ')
		}
		b.WriteByte(']')
	case reflect.String:
		fmt.Fprintf(b, "%.40q", v.String())
	default:
		fmt.Fprint(b, v.Interface())
	}
}
