// Package embed runs a whole server of balsa inside a Go program, as "balsa serve" runs it
// in a process of its own: the same data directory, the same ports, the same members.
//
//	s, err := embed.Start(embed.Config{Dir: "data"}) // a cluster of one
//	...
//	defer s.Stop(ctx)
//	ck, err := s.Clerk() // a client that needs no socket
//
// A Server is one member. It can be a cluster of its own, or one of several whose others run
// in other programs, or as "balsa serve". To replicate a state machine of one's own in
// place of the key/value store, use the package balsa in the module's root.
package embed
