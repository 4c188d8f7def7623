package api

import "testing"

func TestBuffersForFramesHaveTwoSizes(t *testing.T) {
	var p framePool
	for _, test := range []struct{ length, capacity int }{
		{0, 0}, {leastFrame - 1, leastFrame - 1}, {leastFrame, smallFrame}, {smallFrame, smallFrame},
		{smallFrame + 1, largeFrame}, {largeFrame, largeFrame}, {largeFrame + 1, largeFrame + 1},
	} {
		for range 2 { // made, and used again
			b := p.Get(test.length)
			if len(*b) != test.length || cap(*b) != test.capacity {
				t.Errorf("%d bytes: %d of %d, want %d", test.length, len(*b), cap(*b), test.capacity)
			}
			p.Put(b)
		}
	}
}
