package overgrpc

import (
	"context"
	"unicode/utf8"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"balsa.example/internal/frontend/etcd"
	"balsa.example/internal/frontend/etcd/translate"
)

// Metadata that clients of etcd send.
const (
	metadataToken         = "token"
	metadataAuthorization = "authorization"
	metadataRequireLeader = "hasleader"
	metadataClientVersion = "client-api-version"
	requireLeader         = "true"
)

// callerOf is what the transport knows of who sends a request.
func callerOf(ctx context.Context) (c etcd.Caller, err error) {
	c.CommonName = commonName(ctx)
	if version := metadata.ValueFromIncomingContext(ctx, metadataClientVersion); len(version) > 0 && !utf8.ValidString(version[0]) {
		return c, translate.ErrInvalidClientAPIVersion
	}
	need := metadata.ValueFromIncomingContext(ctx, metadataRequireLeader)
	c.RequireLeader = len(need) > 0 && need[0] == requireLeader
	for _, name := range []string{metadataToken, metadataAuthorization} {
		if token := metadata.ValueFromIncomingContext(ctx, name); len(token) > 0 {
			c.Token = token[0]
			break
		}
	}
	return c, nil
}

// wrapped is what a client port keeps of a handshake besides what credentials found.
type wrapped interface{ Unwrap() credentials.AuthInfo }

// commonName is that of the certificate of a client, if it was verified.
func commonName(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	auth := p.AuthInfo
	if w, ok := auth.(wrapped); ok {
		auth = w.Unwrap()
	}
	info, ok := auth.(credentials.TLSInfo)
	if !ok {
		return ""
	}
	for _, chain := range info.State.VerifiedChains {
		if len(chain) > 0 {
			return chain[0].Subject.CommonName
		}
	}
	return ""
}
