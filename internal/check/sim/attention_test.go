package sim

import "testing"

// A leader that executes a backlog of earlier terms works, and takes no commands for so long. Nothing else excuses
// a cluster that commits nothing.
func TestWhatCountsAsABacklog(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *world, l *node, v *view)
		works  bool
	}{
		{"it executes a backlog beyond its bound", nil, true},
		{"the backlog has room for more", func(w *world, _ *node, _ *view) { w.mix.MaxPendingBytes = unlimited }, false},
		{"the backlog is of its own term", func(_ *world, _ *node, v *view) { v.log[0].Term = v.hard.Term }, false},
		{"it has committed nothing of its own", func(_ *world, _ *node, v *view) { v.commit-- }, false},
		{"it has nothing of its own", func(_ *world, _ *node, v *view) { v.log = v.log[:len(v.log)-1] }, false},
		{"it is slow itself", func(_ *world, l *node, _ *view) { l.slow = true }, false},
		{"another one leads", func(w *world, l *node, v *view) { w.check.views[l.id%3+1].role, v.role = v.role, 0 }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := quiet(t)
			l := w.leader()
			v := w.check.view(l)
			v.hard.Term++
			v.log[len(v.log)-1].Term = v.hard.Term
			w.mix.MaxPendingBytes = 200
			if tt.change != nil {
				tt.change(w, l, v)
			}
			w.now++
			w.attention.executes(w, l, v.base+1)
			if works := w.attention.worked == w.now; works != tt.works {
				t.Errorf("it counts as work: %t, want %t", works, tt.works)
			}
		})
	}
}
