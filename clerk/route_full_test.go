package clerk

import (
	"fmt"
	"testing"

	"balsa.example/api"
)

// Members come and go until there were more than a Route has room for: it knows all that are there,
// by the numbers that they had.
func TestARouteFollowsMoreMembersThanItHasRoomFor(t *testing.T) {
	r, err := NewRoute([]string{"h:1", "h:2", "h:3"}, false)
	if err != nil {
		t.Fatal(err)
	}
	var members []*api.Leader
	numbers := make(map[string]int)
	for n := range 5 * maxServers {
		fresh := &api.Leader{NodeId: uint64(n + 1), ClientUrls: []string{fmt.Sprintf("http://h:%d", n+4)}}
		if len(members) < 5 {
			members = append(members, fresh)
		} else {
			members[(n*7+n/5)%5] = fresh
		}
		r.Members(members, uint64(n+1))
		now := make(map[string]int)
		for _, m := range members {
			address := m.ClientUrls[0][len("http://"):]
			i := r.follow(m)
			if i < 0 || r.Server(i) != address || !r.asked(i) {
				t.Fatalf("change %d: %s is not asked", n, address)
			}
			if former, ok := numbers[address]; ok && former != i {
				t.Fatalf("change %d: %s had the number %d, and has %d", n, address, former, i)
			}
			now[address] = i
		}
		numbers = now
	}
	if r.Len() != maxServers {
		t.Errorf("it knows %d servers, want %d", r.Len(), maxServers)
	}
}
