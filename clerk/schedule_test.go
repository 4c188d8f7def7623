package clerk

import (
	"testing"

	"pgregory.net/rapid"
)

// TestScheduleLosesNoLeaseInTime lets time pass in steps of any length. A lease must be lost
// when its time is up, never before, and be due a third of its time to live after it was kept
// alive. Only so many are kept alive at a time: others that are due wait, and hide no loss meanwhile.
func TestScheduleLosesNoLeaseInTime(t *testing.T) {
	type truth struct {
		ttl, until, due int64
		asked           int64 // when the keep-alive under way was asked for
		underWay        bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var s schedule
		leases := map[int64]*truth{}
		now := int64(0)
		slots := rapid.IntRange(1, 5).Draw(t, "slots")
		for step := range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "answer", "answer", "fail", "remove", "pass", "pass"}).Draw(t, "what") {
			case "add":
				id, ttl := int64(step+1), rapid.Int64Range(12, 1000).Draw(t, "ttl")
				s.add(id, ttl, now)
				leases[id] = &truth{ttl: ttl, until: now + ttl, due: now + ttl/3}
			case "pass":
				now += rapid.Int64Range(0, 400).Draw(t, "time")
			default:
				var id int64
				for i, l := range leases {
					if l.underWay && i > id {
						id = i
					}
				}
				l := leases[id]
				if l == nil {
					break
				}
				l.underWay = false
				switch what := rapid.SampledFrom([]string{"renewed", "failed", "gone", "removed"}).Draw(t, "answer"); what {
				case "renewed":
					s.renewed(id, l.ttl, l.asked)
					l.until, l.due = l.asked+l.ttl, l.asked+l.ttl/3
				case "failed":
					s.failed(id, now)
					l.due = now + l.ttl/12
				case "gone":
					if s.renewed(id, 0, l.asked) {
						t.Fatal("a lease that is gone was renewed")
					}
					delete(leases, id)
				case "removed":
					s.remove(id)
					delete(leases, id)
				}
			}
			lost, due := map[int64]bool{}, map[int64]bool{}
			for _, id := range s.lost(now) {
				lost[id] = true
			}
			free := slots
			for id, l := range leases {
				if l.underWay && !lost[id] {
					free--
				}
			}
			for _, id := range s.renewing(now, free) {
				due[id] = true
			}
			waiting := 0
			for id, l := range leases {
				switch isLost, isDue := l.until <= now, l.due <= now && !l.underWay; {
				case isLost != lost[id]:
					t.Fatalf("at %d lease %d, which lives until %d: lost %v", now, id, l.until, lost[id])
				case isLost:
					delete(leases, id)
				case due[id] && !isDue:
					t.Fatalf("at %d lease %d is kept alive, which is due at %d", now, id, l.due)
				case due[id]:
					l.underWay, l.asked = true, now
				case isDue:
					waiting++
				}
			}
			if waiting > 0 && len(due) < free {
				t.Fatalf("at %d %d leases that are due wait, and only %d of %d are kept alive", now, waiting, len(due), free)
			}
			wake := int64(never)
			for _, l := range leases {
				if wake = min(wake, l.until); !l.underWay {
					wake = min(wake, l.due)
				}
			}
			if got := s.wake(); got != wake {
				t.Fatalf("wakes at %d, want %d", got, wake)
			}
		}
	})
}
