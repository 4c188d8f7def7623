package native

import (
	"fmt"

	"balsa.example/kv"
)

const (
	// maxRequestBytes and maxTxnOps are the most that limits of requests may be: a message has to
	// hold the largest one, and decoding bounds the parts of one.
	maxRequestBytes = 3 << 20
	maxTxnOps       = 10 << 10
)

// CheckLimits refuses limits with which the largest request could not arrive.
func CheckLimits(l kv.Limits) error {
	switch {
	case l.MaxValueBytes < 0 || l.MaxValueBytes > maxRequestBytes:
		return fmt.Errorf("a request may have 1 to %d bytes, not %d", maxRequestBytes, l.MaxValueBytes)
	case l.MaxKeyBytes < 0 || l.MaxKeyBytes > maxRequestBytes:
		return fmt.Errorf("a key may have 1 to %d bytes, not %d", maxRequestBytes, l.MaxKeyBytes)
	case l.MaxTxnOps < 0 || l.MaxTxnOps > maxTxnOps:
		return fmt.Errorf("a transaction may have 1 to %d operations in a list, not %d", maxTxnOps, l.MaxTxnOps)
	}
	return nil
}
