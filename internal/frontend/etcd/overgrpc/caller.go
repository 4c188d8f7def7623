package overgrpc

import (
	"context"
	"unicode/utf8"

	"google.golang.org/grpc/metadata"

	"balsa.example/internal/frontend/clients"
	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
)

// Metadata that clients of etcd send.
const (
	metadataRequireLeader = "hasleader"
	metadataClientVersion = "client-api-version"
	metadataTraceparent   = "traceparent" // of OpenTelemetry, if they have it
	requireLeader         = "true"
)

// WithCaller remembers in a context who sends requests with its metadata. It is for clients.Port.AddValues.
func (s *Server) WithCaller(ctx context.Context) context.Context {
	c, err := s.callerOf(ctx)
	return context.WithValue(ctx, callerKey{}, knownCaller{c, err})
}

type callerKey struct{}

type knownCaller struct {
	etcd.Caller
	err error
}

// callerOf is what the transport knows of who sends a request.
func (s *Server) callerOf(ctx context.Context) (c etcd.Caller, err error) {
	if known, ok := ctx.Value(callerKey{}).(knownCaller); ok {
		return known.Caller, known.err
	}
	c.Token, c.CommonName = clients.Token(ctx), clients.CommonName(ctx)
	version := ""
	if sent := metadata.ValueFromIncomingContext(ctx, metadataClientVersion); len(sent) > 0 {
		version = sent[0]
	}
	if !utf8.ValidString(version) {
		return c, translate.ErrInvalidClientAPIVersion
	}
	c.Requests = s.Requests.Client(version)
	if parent := metadata.ValueFromIncomingContext(ctx, metadataTraceparent); len(parent) > 0 {
		c.Traceparent = parent[0]
	}
	need := metadata.ValueFromIncomingContext(ctx, metadataRequireLeader)
	c.RequireLeader = len(need) > 0 && need[0] == requireLeader
	return c, nil
}
