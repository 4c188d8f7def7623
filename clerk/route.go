package clerk

//balsa:pure

import (
	"slices"

	"balsa.example/api"
)

// maxServers bounds how many servers a Route knows, hinted ones included: an Op
// keeps sets of them in one word.
const maxServers = 64

// Route is what a Clerk remembers from one operation to the next: the servers, which
// of them was seen to lead, and how far the store has come. Its servers are numbered
// from 0 and never forgotten, so a number stays good.
//
// It is not safe for concurrent use, and all Ops of a Route count as use of it.
type Route struct {
	servers []string // host:port, no two equal
	nodes   []uint64 // the node id that servers[i] gave as its own; 0: not known
	secure  bool     // servers are reached by TLS

	leader   int    // whom to ask first
	nearest  int    // whom to ask first for a LOCAL read
	revision uint64 // the newest that the store is known to have reached
}

// NewRoute returns a Route of 1 to 64 endpoints, each host:port or
// http(s)://host:port. With secure, or if one of them says https, all are reached by
// TLS, and a plain http is refused.
func NewRoute(endpoints []string, secure bool) (*Route, error) {
	if len(endpoints) == 0 {
		return nil, ErrNoEndpoints
	}
	if len(endpoints) > maxServers {
		return nil, errTooManyEndpoints
	}
	r := &Route{secure: secure}
	plain := ""
	for _, e := range endpoints {
		address, s, err := parseEndpoint(e)
		if err != nil {
			return nil, err
		}
		if s == plainScheme {
			plain = e
		}
		r.secure = r.secure || s == tlsScheme
		if !slices.Contains(r.servers, address) {
			r.add(address)
		}
	}
	if r.secure && plain != "" {
		return nil, &mixedError{plain}
	}
	return r, nil
}

// Len is the number of servers known.
func (r *Route) Len() int { return len(r.servers) }

// Server returns the address, host:port, of a server.
func (r *Route) Server(i int) string { return r.servers[i] }

// Secure tells whether the servers are reached by TLS.
func (r *Route) Secure() bool { return r.secure }

// Learn notes that the server gave node as its id. 0 is ignored.
func (r *Route) Learn(server int, node uint64) {
	if node != 0 {
		r.nodes[server] = node
	}
}

// Reached notes a revision that the store has reached.
func (r *Route) Reached(revision uint64) { r.revision = max(r.revision, revision) }

// follow returns the server that a hint means: the one known to be that node, else the
// one at that address, which is added if it is new. -1: the hint leads nowhere.
func (r *Route) follow(hint *api.Leader) int {
	if hint == nil {
		return -1
	}
	if id := hint.GetNodeId(); id != 0 {
		if i := slices.Index(r.nodes, id); i >= 0 {
			return i
		}
	}
	fresh := ""
	for _, url := range hint.GetClientUrls() {
		address, s, err := parseEndpoint(url)
		if err != nil || s != anyScheme && (s == tlsScheme) != r.secure {
			continue // a hint must not talk a Clerk out of TLS
		}
		if i := slices.Index(r.servers, address); i >= 0 {
			return i
		}
		if fresh == "" {
			fresh = address
		}
	}
	if fresh == "" || len(r.servers) == maxServers {
		return -1
	}
	return r.add(fresh)
}

func (r *Route) add(address string) int {
	r.servers = append(r.servers, address)
	r.nodes = append(r.nodes, 0)
	return len(r.servers) - 1
}

// served notes that the server executed an operation, so it is one to begin with.
func (r *Route) served(server int, local bool) {
	if local {
		r.nearest = server
	} else {
		r.leader = server
	}
}

// failed notes that the server did not do what was asked, so that others do not begin
// with it too. It leaves alone what has been learned since.
func (r *Route) failed(server int) {
	next := (server + 1) % len(r.servers)
	if r.leader == server {
		r.leader = next
	}
	if r.nearest == server {
		r.nearest = next
	}
}
