package ports

import (
	"fmt"
	"net"
	"os"
	"testing"
)

const (
	// rowsBegin to rowsEnd is where rows are: below what systems use for outgoing connections, and give to whoever asks
	// for any port. Linux begins at 32768.
	rowsBegin, rowsEnd = 10_000, 32_000
	// A block is what one row takes of it. Its first port is the mark of who has it; rows begin at a multiple of ten.
	block, below = 50, 10
	// MaxRow is the most ports of a row.
	MaxRow = block - below
)

// Row finds n ports in a row, at most MaxRow, on which nobody listens on the loopback network, and returns the first,
// which is a multiple of ten. They are the caller's until it calls release: no other Row returns them, in this
// process or another, and the system gives them to nobody.
func Row(n int) (first int, release func(), err error) {
	if n > MaxRow {
		return 0, nil, fmt.Errorf("%d ports in a row are more than %d", n, MaxRow)
	}
	const blocks = (rowsEnd - rowsBegin) / block
	for i := range blocks {
		base := rowsBegin + block*((os.Getpid()+i)%blocks)
		mark, err := listen(base)
		if err != nil {
			continue
		}
		if areFree(base+below, n) {
			held.Add(1)
			return base + below, func() { mark.Close(); held.Add(-1) }, nil
		}
		mark.Close()
	}
	return 0, nil, fmt.Errorf("no %d free ports in a row between %d and %d", n, rowsBegin, rowsEnd)
}

// RowOf is Row for a test: the ports belong to it until it ends.
func RowOf(t testing.TB, n int) (first int) {
	t.Helper()
	first, release, err := Row(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return first
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

func areFree(base, n int) bool {
	for port := base; port < base+n; port++ {
		l, err := listen(port)
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
