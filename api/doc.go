// Package api is the wire form of balsa's native API: gRPC, defined in balsa.proto.
//
// Go programs use package clerk, which speaks it. To talk to balsa from another
// language, generate code from balsa.proto; the service is balsa.v1.KV.
package api

//go:generate sh -c "cd ../tools && go run ./genproto"
