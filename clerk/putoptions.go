package clerk

import "balsa.example/api"

// PutOption says more about a write of a value.
type PutOption interface{ put(*api.Put) }

// DeleteOption says more about a delete in a transaction.
type DeleteOption interface{ delete(*api.DeleteRange) }

type putOption func(*api.Put)

func (o putOption) put(p *api.Put) { o(p) }

// WithLease hangs the key on a lease: it is deleted when the lease ends. Without it the key
// hangs on none, even if it did before.
func WithLease(id int64) PutOption { return putOption(func(p *api.Put) { p.Lease = id }) }

// KeepLease lets the key hang on the lease that it has. The key must exist.
func KeepLease() PutOption { return putOption(func(p *api.Put) { p.IgnoreLease = true }) }

// WithPrev asks for what the key held before: see KV.Prev and OpResult.KVs. A watch lets all its
// events have it.
func WithPrev() interface {
	PutOption
	DeleteOption
	WatchOption
} {
	return withPrev{}
}

type withPrev struct{}

func (withPrev) put(p *api.Put)            { p.Prev = true }
func (withPrev) delete(d *api.DeleteRange) { d.Prev = true }
