package clients

import (
	"errors"
	"testing"

	"balsa.example/kv/watch"
)

func TestWatchersAndWhatTheyAreSentCountForTheClient(t *testing.T) {
	p := quietPort(Limits{Watchers: 8, Connections: 4})
	cl := p.Alone("a")
	n := 0
	for cl.AddWatcher() == nil {
		n++
	}
	if err := cl.AddWatcher(); n == 0 || n > 8 || !errors.Is(err, watch.ErrTooMany) {
		t.Errorf("%d watchers, then %v", n, err)
	}
	cl.RemoveWatchers(n)
	if err := cl.AddWatcher(); err != nil {
		t.Error(err)
	}
	cl.RemoveWatchers(1)
	reserved := 0
	for cl.Reserve(8 << 20) {
		reserved++
	}
	for range reserved {
		cl.Release(8 << 20)
	}
	if reserved != MaxClientBytes>>23 || cl.Requests.Server.Count() != (Bound{}) || p.Watchers() != 0 {
		t.Errorf("%d items; %+v and %d watchers still count", reserved, cl.Requests.Server.Count(), p.Watchers())
	}
}
