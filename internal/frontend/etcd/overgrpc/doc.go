// Package overgrpc serves the etcd v3 API by gRPC.
//
//	grpc.Server ──► service descriptions, made of etcd.Methods ──► Method.Call, Method.Serve
//	                     metadata -> Caller, Error -> status
//
// There is no code for any single method: a method that is in the list is served. The server may be
// one that serves other APIs too.
package overgrpc
