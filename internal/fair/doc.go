// Package fair shares what strangers may take up of a server: connections, streams,
// requests in progress. Each is bounded; and when there is no room left, no client and
// no address keeps out another that has less.
//
//	Slots     a bounded number of places, such as connections: a newcomer for whom
//	          there is none takes the place of whoever has most (slots.go)
//	Listener  a net.Listener whose connections take Slots (listener.go)
//
// A source is where a client connects from: an IPv4 address or the /64 of an IPv6 one.
// Many clients may share an address, so a share binds only while there is contention.
package fair
