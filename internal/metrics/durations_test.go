package metrics

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

func TestSlowSyncsOfTheHistoryAreCounted(t *testing.T) {
	c := NewCommits()
	for _, took := range []time.Duration{time.Millisecond, slowCommit - 1, slowCommit, time.Second} {
		c.Observe(took)
	}
	var m dto.Metric
	if err := c.slow.Write(&m); err != nil || m.Counter.GetValue() != 2 {
		t.Errorf("%v slow ones, want 2; %v", m.Counter.GetValue(), err)
	}
}
