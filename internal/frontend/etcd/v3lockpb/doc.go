// Package v3lockpb has the messages of etcd's service Lock. Run make proto after a change of the
// .proto.
package v3lockpb
