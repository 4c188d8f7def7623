package member

import (
	"context"
	"fmt"
	"time"

	"balsa.example/raft"
)

// progressInterval is how often a member that is caught up says how far it is.
const progressInterval = 2 * time.Second

// CatchUp returns when the replica of a member that has just joined has all that any member had
// acknowledged when it was called: before that it knows too little to answer anybody. It returns at
// once where the replica has taken part before. Waiting says how far it is. The error is ctx's, or that
// the replica has ended.
func (m *Member) CatchUp(ctx context.Context) error {
	if !m.fresh {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	told := make(chan struct{})
	go func() {
		defer close(told)
		m.tellProgress(ctx)
	}()
	defer func() {
		cancel()
		<-told
		m.waits.Store(nil)
	}()
	r := *m.replica.Load()
	for {
		_, err := r.ReadAnywhere(ctx, raft.ReadByIndex)
		switch {
		case err == nil:
			m.log.Info("caught up with the other members")
			return nil
		case m.Err() != nil:
			return m.Err()
		case !pause(ctx, m.ctx, changeRetry):
			return context.Cause(ctx)
		}
		select {
		case <-r.Done():
			return err
		default:
		}
	}
}

// tellProgress says how far this member is, until ctx ends.
func (m *Member) tellProgress(ctx context.Context) {
	var p Progress
	for {
		text := "is a member now, and gets the state from the others"
		asked, cancel := context.WithTimeout(ctx, progressInterval)
		if all, err := m.Members(asked); err == nil {
			for _, one := range all.All {
				if one.ID == m.ID() {
					text += ": " + p.Note(one, time.Now())
					m.log.Info("catching up", "entries", one.Behind, "bytes", one.BehindBytes, "left", p.Left.Round(time.Second).String())
				}
			}
		}
		cancel()
		m.waits.Store(&text)
		if !pause(ctx, m.ctx, progressInterval) {
			return
		}
	}
}

// Progress is how a member gets on that is caught up.
type Progress struct {
	// Left is how long it will take at the present rate; 0: not known.
	Left time.Duration

	first time.Time
	from  uint64 // bytes that were missing at first
}

// Note takes in how far the member is at a time, and says so in a few words.
func (p *Progress) Note(one Info, now time.Time) string {
	if p.first.IsZero() || one.BehindBytes > p.from {
		p.first, p.from = now, one.BehindBytes
	}
	p.Left = 0
	if got, took := p.from-one.BehindBytes, now.Sub(p.first); got > 0 && took > 0 {
		p.Left = time.Duration(float64(one.BehindBytes) / float64(got) * float64(took))
	}
	text := fmt.Sprintf("%d entries and %.1f MiB to go", one.Behind, float64(one.BehindBytes)/(1<<20))
	if p.Left > 0 {
		text += fmt.Sprintf(", %s left", p.Left.Round(time.Second))
	}
	return text
}
