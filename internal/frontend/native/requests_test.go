package native

import (
	"testing"

	"balsa.example/api"
	"balsa.example/internal/metrics"
)

func TestRequestsAreCountedByName(t *testing.T) {
	requests := NewRequests()
	replied := 0
	for range 100 {
		measured(requests, api.Request_PUT, metrics.Now(), func(*api.Reply) { replied++ })(&api.Reply{Code: api.Reply_VERSION_MISMATCH})
	}
	if replied != 100 {
		t.Errorf("%d replies to 100 requests", replied)
	}
	for i, want := range []string{"kind_unspecified", "get", "put", "delete"} {
		if got := lowerNames(api.Request_Kind_name)[i]; got != want {
			t.Errorf("kind %d is %q, want %q", i, got, want)
		}
	}
	if names := lowerNames(api.Reply_Code_name); len(names) != len(api.Reply_Code_name) {
		t.Errorf("the codes have a gap after %q", names)
	}
}
