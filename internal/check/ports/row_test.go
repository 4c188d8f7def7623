package ports

import (
	"net"
	"testing"
)

// TestRowsAreApart: each row is another, until it is given back, and has no port on which somebody listens.
func TestRowsAreApart(t *testing.T) {
	var listening []net.Listener
	seen := map[int]bool{}
	for i := range 6 {
		first, release, err := Row(2)
		if err != nil {
			t.Fatal(err)
		}
		if seen[first] || first%10 != 0 || first < rowsBegin || first+2 > rowsEnd {
			t.Errorf("row %d begins at %d, and before it were %v", i, first, seen)
		}
		seen[first] = true
		if i%2 == 1 { // a server outlives what it was started by
			l, err := listen(first + 1)
			if err != nil {
				t.Fatal(err)
			}
			listening = append(listening, l)
			release()
			continue
		}
		defer release()
	}
	for _, l := range listening {
		l.Close()
	}
	if _, _, err := Row(MaxRow + 1); err == nil {
		t.Error("there is a row that is longer than what one can take")
	}
}
