package state_test

import (
	"testing"

	"balsa.example/internal/check/crashfs"
	"balsa.example/kv"
	"balsa.example/state"
	"balsa.example/state/logtime"
)

func grantAt(id int64, at, ttl logtime.Time) state.Command {
	return state.Command{More: &state.More{Kind: state.KindGrant, Lease: id, TTL: int64(ttl), Stamp: logtime.Stamp{Log: at}}}
}

// A Tick ends what is due by its own stamp. Another command, with a later stamp, may have come into
// the log before it. By that stamp a lease would end although its leader has a keep-alive for it,
// which goes with the next Tick.
func TestATickGoesByItsOwnStamp(t *testing.T) {
	m, _ := openMachine(t, crashfs.NewMem())
	for _, c := range []state.Command{grantAt(1, 10, 5), grantAt(2, 20, 100), tick(12)} {
		if r := m.DoOp(c); r.Code != kv.CodeOK {
			t.Fatal(r.Err())
		}
	}
	if _, _, ok := m.Lease(1, false); !ok {
		t.Error("a lease that ends at 15 was ended by a Tick of 12, since another command had the stamp 20")
	}
	m.DoOp(tick(15))
	if _, _, ok := m.Lease(1, false); ok {
		t.Error("a lease that ends at 15 outlives a Tick of 15")
	}
}
