package balsa

import "encoding/json"

// JSON is a Codec for operations that encoding/json can carry there and back: DoOp gets what
// is decoded. So fields that are not exported are lost, and bytes of a string that are not
// UTF-8 are replaced. An operation that can be encoded and not decoded, because a field is an
// interface for example, stops every replica. A codec of one's own is faster, and its bytes
// are fewer.
type JSON[Op any] struct{}

// Append is part of rsm.Codec. It panics if Op cannot be marshaled, which is a mistake of
// the program.
func (JSON[Op]) Append(dst []byte, op Op) []byte {
	data, err := json.Marshal(op)
	if err != nil {
		panic(err)
	}
	return append(dst, data...)
}

// Decode is part of rsm.Codec.
func (JSON[Op]) Decode(data []byte) (op Op, err error) { return op, json.Unmarshal(data, &op) }
