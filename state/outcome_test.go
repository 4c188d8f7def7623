package state

import (
	"reflect"
	"strings"
	"testing"

	"balsa.example/kv"
)

// TestAByteTellsEachCode: all codes there are fit into the byte that a session keeps.
func TestAByteTellsEachCode(t *testing.T) {
	for code := kv.CodeOK; !strings.Contains(code.String(), "unknown result code"); code++ {
		want := Result{Result: kv.Result{Code: code}}
		b := codeByte(want)
		if got := resultOfByte(b); b == 0 || b&(txnBit|succeededBit) != 0 || got.Code != code || got.Txn != nil {
			t.Errorf("%v comes back as %+v", code, got)
		}
	}
	for _, succeeded := range []bool{false, true} {
		b := codeByte(Result{Txn: &kv.TxnResult{Succeeded: succeeded}})
		if got := resultOfByte(b); b == 0 || got.Code != kv.CodeOK || got.Txn.Succeeded != succeeded {
			t.Errorf("a transaction with Succeeded %t comes back as %+v", succeeded, got)
		}
	}
}

// TestOutcomeOfFormatOneIsRead: it had no lease.
func TestOutcomeOfFormatOneIsRead(t *testing.T) {
	want := Result{Result: kv.Result{Value: []byte("v"), Version: 2, CreateRevision: 3, ModRevision: 4, Revision: 5, DeleteRevision: 6}}
	old := []byte{1, 0, 1, 'v', 2, 3, 4, 5, 6, 0, 0}
	if got, err := decodeResult(old); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	want.Lease = 9
	if got, err := decodeResult(appendResult(nil, want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, format := range []byte{0, resultFormat + 1} {
		old[0] = format
		if _, err := decodeResult(old); err == nil {
			t.Errorf("format %d is read", format)
		}
	}
}
