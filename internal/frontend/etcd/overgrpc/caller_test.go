package overgrpc

import (
	"testing"

	"google.golang.org/grpc/metadata"

	"balsa.example/internal/frontend/etcd/translate"
)

func TestCallerHasTokenAndVersion(t *testing.T) {
	for name, tt := range map[string]struct {
		pairs []string
		want  string
		err   error
	}{
		"token":              {[]string{"token", "a"}, "a", nil},
		"authorization":      {[]string{"authorization", "b"}, "b", nil},
		"both":               {[]string{"authorization", "b", "token", "a"}, "a", nil},
		"none":               {nil, "", nil},
		"version is no text": {[]string{"client-api-version", "\xff"}, "", translate.ErrInvalidClientAPIVersion},
	} {
		s := new(Server)
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(tt.pairs...))
		if c, err := s.callerOf(s.WithCaller(ctx)); c.Token != tt.want || err != tt.err {
			t.Errorf("%s, remembered: token %q, %v", name, c.Token, err)
		}
		if c, err := s.callerOf(ctx); c.Token != tt.want || err != tt.err {
			t.Errorf("%s: token %q, %v", name, c.Token, err)
		}
	}
}
