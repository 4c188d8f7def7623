//go:build unix

package machine

import (
	"testing"
	"time"
)

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	before, ok := ProcessorTime()
	if !ok {
		t.Fatal("not known")
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if now, _ := ProcessorTime(); now > before {
			return
		}
	}
	t.Error("a process that counts does not use the processor")
}
