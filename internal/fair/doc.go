// Package fair shares the resources of a server among its clients: connections, streams,
// requests in progress. Each is bounded. When a resource is used up, no client and no address
// keeps out another one that has less of it.
//
//	Slots     a bounded number of slots, such as connections: when all are taken, a
//	          newcomer gets a slot of the source that has most (slots.go)
//	Listener  a net.Listener whose connections take Slots (listener.go)
//	Queue     lets a few in at a time, such as those whose passwords are hashed: sources
//	          take turns (queue.go)
//
// A source is where a client connects from: an IPv4 address or the /64 of an IPv6 one.
// Many clients may share an address, so the shares apply only when all slots are taken.
package fair
