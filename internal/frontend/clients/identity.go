package clients

import (
	"context"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Token is what a call has in its metadata as "token", or as "authorization"; empty if nothing.
func Token(ctx context.Context) string {
	for _, name := range []string{"token", "authorization"} {
		if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// CommonName is that of the certificate of the client of a call, if it was verified; else empty.
func CommonName(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	info, ok := p.AuthInfo.(clientAuthInfo)
	if !ok || info.secure == nil {
		return ""
	}
	for _, chain := range info.secure.VerifiedChains {
		if len(chain) > 0 {
			return chain[0].Subject.CommonName
		}
	}
	return ""
}

// Address is where the client connects from.
func (cl *Client) Address() string {
	if cl.Conn == nil || cl.Conn.RemoteAddr() == nil {
		return cl.name
	}
	return cl.Conn.RemoteAddr().String()
}
