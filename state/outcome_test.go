package state

import (
	"strings"
	"testing"

	"balsa.example/kv"
)

// TestAByteTellsEachCode: all codes there are fit into the byte that a session keeps.
func TestAByteTellsEachCode(t *testing.T) {
	for code := kv.CodeOK; !strings.Contains(code.String(), "unknown result code"); code++ {
		want := Result{Result: kv.Result{Code: code}}
		b := codeByte(want)
		if got := resultOfByte(KindOp, b); b == 0 || got.Code != code || got.Txn != nil {
			t.Errorf("%v comes back as %+v", code, got)
		}
		if got := resultOfByte(KindTxn, b); got.Code != code || (got.Txn != nil) != (code == kv.CodeOK) {
			t.Errorf("%v of a transaction comes back as %+v", code, got)
		}
	}
	for _, succeeded := range []bool{false, true} {
		b := codeByte(Result{Txn: &kv.TxnResult{Succeeded: succeeded}})
		if got := resultOfByte(KindTxn, b); b == 0 || got.Code != kv.CodeOK || got.Txn.Succeeded != succeeded {
			t.Errorf("a transaction with Succeeded %t comes back as %+v", succeeded, got)
		}
	}
}
