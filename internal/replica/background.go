package replica

import "context"

// background is a goroutine that works until it is stopped.
type background struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// start runs the goroutine, which ends soon after its context.
func (b *background) start(run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.ended = cancel, make(chan struct{})
	go func() {
		defer close(b.ended)
		run(ctx)
	}()
}

// stop ends the goroutine, and returns when it has ended. Any number of goroutines may call it.
func (b *background) stop() {
	b.cancel()
	<-b.ended
}
