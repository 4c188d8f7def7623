package library

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
)

// table is the state machine that all libraries replicate.
type table struct {
	mu     sync.RWMutex // the library writes, callers read
	values map[string][]byte
}

func newTable() *table { return &table{values: map[string][]byte{}} }

var errBadCommand = errors.New("command is truncated")

// appendCommand encodes a put: the length of the key, the key, the value.
func appendCommand(dst []byte, key string, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	dst = append(dst, key...)
	return append(dst, value...)
}

// command encodes a put into as many bytes as it takes.
func command(key string, value []byte) []byte {
	return appendCommand(make([]byte, 0, binary.MaxVarintLen16+len(key)+len(value)), key, value)
}

// decode is the inverse of appendCommand. The value aliases data.
func decode(data []byte) (key string, value []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return "", nil, errBadCommand
	}
	data = data[size:]
	return string(data[:n]), data[n:], nil
}

// apply executes a put.
func (t *table) apply(data []byte) error {
	key, value, err := decode(data)
	if err == nil {
		t.set(key, value)
	}
	return err
}

// set keeps a copy of value: libraries reuse what they hand out.
func (t *table) set(key string, value []byte) {
	value = bytes.Clone(value)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.values[key] = value
}

func (t *table) get(key string) []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.values[key]
}
