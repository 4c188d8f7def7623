package server

import (
	"context"
	"errors"
	"time"
)

// ErrHangs: the server has stopped without waiting for a call of its disk that did not end.
// What was acknowledged is on the disks of a majority all the same.
var ErrHangs = errors.New("stopped without waiting for the disk, which does not answer")

// Shutdown stops the server: a leader hands over first, requests in progress are
// answered, then all is closed. It takes about three seconds at most, and when ctx
// ends it hurries. When it returns, no goroutine of the server is left, unless the disk
// hangs: a write or a sync cannot be broken off. Then it returns after six seconds, Err is
// ErrHangs, and the process should end. Who calls it again waits for the same end.
func (s *Server) Shutdown(ctx context.Context) {
	s.stopOnce.Do(func() {
		go func() {
			s.stop(ctx)
			close(s.stopped)
		}()
	})
	await(context.Background(), s.stopped, s.cfg.stopTimeout)
	select {
	case <-s.stopped:
	default:
		s.log.Error("stopping without waiting for the disk: a write or sync has not ended", "waited", s.cfg.stopTimeout)
		s.fail(ErrHangs)
	}
}

func (s *Server) stop(ctx context.Context) {
	s.cancel()
	<-s.ran // from here on it is settled whether there is a replica
	if replica := s.running.Load(); replica != nil {
		s.member.HandOver(ctx, replica.Node)
	}
	if w := s.witness.Load(); w != nil {
		s.member.HandOver(ctx, w)
	}
	s.native.Drain()
	s.etcd.Close()

	drained := make(chan struct{})
	go func() {
		s.port.GracefulStop()
		close(drained)
	}()
	await(ctx, drained, drainTimeout)
	s.member.StopReplica(ctx, func() {
		if replica := s.running.Load(); replica != nil {
			replica.Stop()        // which answers what is still in progress
			s.ended(replica.Node) // it may have failed since run has stopped to watch it
		}
		if w := s.witness.Load(); w != nil {
			w.Stop()
			s.ended(w)
		}
	})
	await(ctx, drained, flushTimeout)
	s.port.Stop()
	<-drained
	s.native.AwaitStreams()
	if f := s.etcd.Opened(); f != nil {
		f.Wait()
	}

	s.work.Wait()
	s.files.Close()
	s.closeMetrics() // the last, so that operators see how the server stops
	if err := s.member.Close(); err != nil {
		s.log.Warn("close data directory", "error", err)
	}
}

// Abort is Shutdown without its graces.
func (s *Server) Abort() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
}

// await waits for done, but not longer than d or ctx.
func await(ctx context.Context, done <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
