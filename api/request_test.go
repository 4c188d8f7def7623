package api

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
)

// A field that Copy left out would be lost on each attempt of a Clerk.
func TestCopiesOfARequestAreWhole(t *testing.T) {
	req := &Request{
		Key: []byte("key"), Value: []byte("value"), Trace: []byte("trace"),
		Session: &Session{Id: 1}, Call: &Request_Lease{Lease: &Lease{Id: 2}},
	}
	v := reflect.ValueOf(req).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case !v.Type().Field(i).IsExported():
		case f.CanUint():
			f.SetUint(uint64(i))
		case f.CanInt():
			f.SetInt(int64(i))
		case f.Kind() == reflect.Bool:
			f.SetBool(true)
		}
		if v.Type().Field(i).IsExported() && v.Field(i).IsZero() {
			t.Errorf("field %s is of no known kind", v.Type().Field(i).Name)
		}
	}
	if got := req.Copy(); !proto.Equal(got, req) {
		t.Errorf("got %v, want %v", got, req)
	}
}
