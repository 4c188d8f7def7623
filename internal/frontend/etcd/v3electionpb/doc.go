// Package v3electionpb has the messages of etcd's service Election. Run make proto after a change of
// the .proto.
package v3electionpb
