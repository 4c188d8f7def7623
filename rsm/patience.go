package rsm

import "context"

// patience is how long a caller waits: until its context ends, or until late is closed. late may be
// nil, which is never.
type patience struct {
	ctx  context.Context
	late <-chan struct{}
}

// err tells why it has ended; nil: it has not.
func (p patience) err() error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	select {
	case <-p.late:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
