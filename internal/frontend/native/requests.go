package native

import (
	"strings"
	"time"

	"balsa.example/api"
	"balsa.example/internal/metrics"
)

// Sample reads what clients take up, and how often that was too much.
func (s *Server) Sample(sample *metrics.Sample) {
	c := s.clients
	connections := c.slots.Stats()
	sample.Requests, sample.RequestBytes = c.requests.items.Load(), c.requests.bytes.Load()
	sample.Clients, sample.Streams, sample.UnfinishedBytes = int64(connections.Taken), c.streams.items.Load(), c.unfinished.Load()
	sample.Surplus = append(sample.Surplus,
		metrics.Surplus{Of: "connections", Count: connections.Refused + connections.Evicted},
		metrics.Surplus{Of: "streams", Count: c.surplus.streams.Count()},
		metrics.Surplus{Of: "requests", Count: c.surplus.requests.Count()},
		metrics.Surplus{Of: "unfinished", Count: c.surplus.unfinished.Count()},
		metrics.Surplus{Of: "stalled", Count: c.surplus.stalled.Count()},
	)
}

// NewRequests counts requests under the names of their kinds and the codes of the API: put, version_mismatch.
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

// measured is reply, with the request counted when it is answered.
func measured(requests *metrics.Requests, kind api.Request_Kind, reply func(*api.Reply)) func(*api.Reply) {
	k, timed := requests.Begin(int(kind))
	if timed {
		untimed, start := reply, time.Now()
		reply = func(r *api.Reply) {
			k.Time(time.Since(start))
			untimed(r)
		}
	}
	counted := reply // a copy that never changes is kept without a box of its own
	return func(r *api.Reply) {
		k.Count(int(r.Code))
		counted(r)
	}
}
