package replica

import (
	"testing"

	"balsa.example/internal/check/crashfs"
)

func TestSpaceIsKeptForDeletes(t *testing.T) {
	fs := crashfs.NewMem()
	var s space
	for _, c := range []struct {
		available uint64
		low, none bool
	}{
		{1 << 30, false, false}, {SpaceReserve, false, false}, {SpaceReserve - 1, true, false},
		{LastSpace, true, false}, {LastSpace - 1, true, true}, {1, true, true}, {1 << 30, false, false},
	} {
		fs.SetAvailable(c.available)
		s.look(fs, "/")
		if s.low.Load() != c.low || s.none.Load() != c.none {
			t.Errorf("with %d bytes left: low %t, none %t", c.available, s.low.Load(), s.none.Load())
		}
	}
}
