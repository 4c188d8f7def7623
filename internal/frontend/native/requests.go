package native

import (
	"strings"
	"time"

	"balsa.example/api"
	"balsa.example/internal/metrics"
)

// NewRequests counts requests by kind and by code of the reply, under the names of the API in
// lower case: put, version_mismatch.
func NewRequests() *metrics.Requests {
	return metrics.NewRequests(lowerNames(api.Request_Kind_name), lowerNames(api.Reply_Code_name))
}

// lowerNames lists the names of an enumeration by number, up to the first gap.
func lowerNames(names map[int32]string) []string {
	var all []string
	for i := range int32(len(names)) {
		name, ok := names[i]
		if !ok {
			break
		}
		all = append(all, strings.ToLower(name))
	}
	return all
}

// measured returns a function that counts and times a request which has begun then, and calls reply.
func measured(requests *metrics.Requests, kind api.Request_Kind, then time.Duration, reply func(*api.Reply)) func(*api.Reply) {
	k := requests.Kind(int(kind))
	return func(r *api.Reply) {
		k.Count(int(r.Code))
		k.Time(then)
		requests.Failures.Count(reasonOf(r))
		reply(r)
	}
}

// refused counts a request that was refused before it was begun, or whose reply was.
func (s *Server) refused(kind api.Request_Kind, reply *api.Reply) {
	if s.cfg.Requests == nil {
		return
	}
	s.cfg.Requests.Kind(int(kind)).Count(int(reply.Code))
	s.cfg.Requests.Failures.Count(reasonOf(reply))
}
