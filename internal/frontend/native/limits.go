package native

import (
	"cmp"
	"fmt"

	"balsa.example/internal/frontend/clients"
	"balsa.example/kv"
)

const (
	// maxRequestBytes and maxTxnOps are the most that limits of requests may be: what is made of the largest
	// one has to fit into an operation of the log (rsm.MaxOpBytesLimit) and into a message to a client
	// (api.MaxReplyBytes), and decoding bounds the parts of one.
	maxRequestBytes = 16 << 20
	maxTxnOps       = 10 << 10
	// messageRoom is what a message from a client may have beside the largest value: a key, what a transaction
	// takes besides keys and values, and other requests of the batch.
	messageRoom = 1 << 20
)

// MessageBytes is how many bytes a message from a client may have, so that the largest request can arrive.
func MessageBytes(l kv.Limits) int {
	return max(clients.DefaultMessageBytes, cmp.Or(l.MaxValueBytes, kv.DefaultLimits.MaxValueBytes)+messageRoom)
}

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
