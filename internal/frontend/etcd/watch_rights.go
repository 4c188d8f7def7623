package etcd

import (
	"context"

	"balsa.example/internal/frontend/etcd/translate"
	"balsa.example/kv"
)

// watchRights are the Rights by the users and roles of a cluster.
type watchRights struct{ face *Face }

// Permitted is part of Rights. A refusal may be late news, so it is decided again with all that the
// other members have executed.
func (r watchRights) Permitted(ctx context.Context, c *Caller, span kv.Span) error {
	if c.denied != nil {
		return c.denied
	}
	if r.Lost(c, span) == nil {
		return nil
	}
	if err := r.face.fresh(ctx); err != nil {
		return err
	}
	return r.Lost(c, span)
}

// Lost is part of Rights.
func (r watchRights) Lost(c *Caller, span kv.Span) error {
	if err := r.face.access.Readable(c.user, span); err != nil {
		return translate.ReadFailed(err)
	}
	return nil
}

// Changed is part of Rights.
func (r watchRights) Changed() <-chan struct{} {
	_, replaced := r.face.access.Auth()
	return replaced
}
