package clerk

//balsa:pure

import (
	"slices"

	"balsa.example/api"
)

// maxServers is how many servers a Route knows at most, those from hints included. An Op
// keeps sets of them in one word.
const maxServers = 64

// Route is what a Clerk remembers from one operation to the next: the servers, the leader, and
// the store's revision. Servers are numbered from 0. A number stays valid, but it may become that of
// another server: those of NewRoute keep theirs, and the others theirs while they are members.
//
// A Route, and all Ops that use it, must not be used concurrently.
type Route struct {
	servers []string // host:port, no two equal
	nodes   []uint64 // the node id that servers[i] gave as its own; 0: not known
	secure  bool     // servers are reached by TLS
	// fixed is how many servers are those of NewRoute. members are those that are members, as the
	// servers have told at revision membersAt. Empty: none has told. Servers that are neither are
	// not asked.
	fixed     int
	members   uint64
	membersAt uint64

	leader   int    // the server to ask first
	nearest  int    // the server to ask first for a LOCAL read
	givenUp  int    // operations in a row that were given up while one of these two was asked
	revision uint64 // the highest that the store is known to have reached
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
	r.fixed = len(r.servers)
	return r, nil
}

// Len is the number of servers known.
func (r *Route) Len() int { return len(r.servers) }

// Server returns the address, host:port, of a server.
func (r *Route) Server(i int) string { return r.servers[i] }

// Secure tells whether the servers are reached by TLS.
func (r *Route) Secure() bool { return r.secure }

// Learn notes the node id that a server has told. 0 is ignored.
func (r *Route) Learn(server int, node uint64) {
	if node != 0 {
		r.nodes[server] = node
	}
}

// Reached notes a revision that the store has reached.
func (r *Route) Reached(revision uint64) { r.revision = max(r.revision, revision) }

// follow returns the server that a hint names: the one with that node id if it is known, else
// the one at that address, which is added if it is new. -1: the hint names no usable server.
func (r *Route) follow(hint *api.Leader) int {
	if hint == nil {
		return -1
	}
	if id := hint.GetNodeId(); id != 0 {
		if i := slices.Index(r.nodes, id); i >= 0 {
			return i
		}
	}
	return r.place(hint.GetClientUrls())
}

// place returns the server at one of the addresses, which is added if none is known. -1: no
// address is usable, or there is no room.
func (r *Route) place(urls []string) int {
	fresh := ""
	for _, url := range urls {
		address, s, err := parseEndpoint(url)
		if err != nil || s != anyScheme && (s == tlsScheme) != r.secure {
			continue // a hint must not make a Clerk give up TLS
		}
		if i := slices.Index(r.servers, address); i >= 0 {
			r.welcome(i)
			return i
		}
		if fresh == "" {
			fresh = address
		}
	}
	if fresh == "" {
		return -1
	}
	i := r.add(fresh)
	if i >= 0 {
		r.welcome(i)
	}
	return i
}

// welcome notes that a server is a member, if it is known who is.
func (r *Route) welcome(server int) {
	if r.members != 0 {
		r.members |= 1 << server
	}
}

// Members notes who the members are, as a server has told when the store was at a revision. What a
// server tells that lags behind is not taken.
func (r *Route) Members(all []*api.Leader, revision uint64) {
	if len(all) == 0 || revision < r.membersAt {
		return
	}
	before := r.members
	now := r.known(all) // they keep their numbers, and others get those of former members
	r.members, r.membersAt = now|1<<r.leader, revision
	for _, m := range all {
		i := r.place(m.GetClientUrls())
		if i < 0 {
			continue
		}
		for k := r.fixed; k < len(r.nodes); k++ {
			if r.nodes[k] == m.GetNodeId() && k != i {
				r.nodes[k] = 0 // it has moved
			}
		}
		now |= 1 << i // as welcome has noted
		r.Learn(i, m.GetNodeId())
	}
	if r.members = now; now == 0 {
		r.members = before
	}
	for _, first := range []*int{&r.leader, &r.nearest} {
		if !r.asked(*first) {
			*first = r.after(*first)
		}
	}
}

// known returns the set of those servers that are among the members.
func (r *Route) known(all []*api.Leader) (set uint64) {
	for _, m := range all {
		for _, url := range m.GetClientUrls() {
			if address, _, err := parseEndpoint(url); err == nil {
				if i := slices.Index(r.servers, address); i >= 0 {
					set |= 1 << i
					break
				}
			}
		}
	}
	return set
}

// asked tells whether a server is to be asked.
func (r *Route) asked(server int) bool {
	return r.members == 0 || server < r.fixed || r.members&(1<<server) != 0
}

// after returns the next server that is to be asked.
func (r *Route) after(server int) int {
	for i := 1; i < len(r.servers); i++ {
		if next := (server + i) % len(r.servers); r.asked(next) {
			return next
		}
	}
	return server
}

// add adds a server, where there are many in place of one that is no member. -1: there is no room.
func (r *Route) add(address string) int {
	if len(r.servers) == maxServers {
		for i := r.fixed; i < maxServers; i++ {
			if !r.asked(i) && i != r.leader && i != r.nearest {
				r.servers[i], r.nodes[i] = address, 0
				return i
			}
		}
		return -1
	}
	r.servers = append(r.servers, address)
	r.nodes = append(r.nodes, 0)
	return len(r.servers) - 1
}

// served notes that the server has answered an operation. The next one asks it first.
func (r *Route) served(server int, local bool) {
	r.givenUp = 0
	if local {
		r.nearest = server
	} else {
		r.leader = server
	}
}

// maxGivenUp is how many operations in a row may be given up while a server is asked. Each may have a shorter deadline
// than an attempt may take: then no attempt is ever lost, and all would go to a server that hangs. One alone says nothing
// of the server: its caller may have gone.
const maxGivenUp = 3

// gaveUp notes that an operation was given up while a server was asked.
func (r *Route) gaveUp(server int) {
	if server != r.leader && server != r.nearest {
		return
	}
	if r.givenUp++; r.givenUp >= maxGivenUp {
		r.givenUp = 0
		r.failed(server)
	}
}

// failed notes that the server did not answer an operation, so that the next ones do not ask
// it first. If another server has been noted meanwhile, that stays.
func (r *Route) failed(server int) {
	next := r.after(server)
	if r.leader == server {
		r.leader = next
	}
	if r.nearest == server {
		r.nearest = next
	}
}
