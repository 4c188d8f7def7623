package replica

import (
	"testing"
	"testing/synctest"
)

func TestReadersAreFewAndServeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readers
		const reads = 5 * maxReaders
		begun, may := make(chan int, reads+1), make(chan struct{})
		for i := range reads {
			r.run(func() {
				begun <- i
				<-may
			})
		}
		synctest.Wait()
		if len(begun) != maxReaders {
			t.Errorf("%d reads run at once, want %d", len(begun), maxReaders)
		}
		close(may)
		r.wait()
		if len(begun) != reads || len(r.waiting) != 0 || r.running != 0 {
			t.Errorf("%d of %d reads ran; %d wait, %d run", len(begun), reads, len(r.waiting), r.running)
		}
		r.run(func() { begun <- 0 }) // after a pause
		r.wait()
	})
}
