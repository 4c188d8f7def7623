package api

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// A part is a message inside of another one, or an element of a list. On the wire a part takes
// 1 byte or more, in memory a hundred times as much. So parts are counted before package proto
// reads them.
const (
	// maxBatchParts is how many parts all requests, or all replies, of a batch may have.
	maxBatchParts = 1 << 17
	// maxDepth is how deep parts may stand in each other: transactions are nested.
	maxDepth = 64
)

var errTooDeep = fmt.Errorf("api: messages stand in each other deeper than %d levels", maxDepth)

// parts is how many parts may come.
type parts int

// take takes n parts off.
func (p *parts) take(n int) error {
	if *p -= parts(n); *p < 0 {
		return fmt.Errorf("api: the parts of a batch are over the limit of %d", maxBatchParts)
	}
	return nil
}

// takeFrom takes off the parts of a message, of which data is the wire form.
func (p *parts) takeFrom(data []byte, of protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	return fields(data, func(f field) error {
		known := of.Fields().ByNumber(f.number)
		switch {
		case known == nil:
			return nil
		case known.Message() != nil && f.kind == protowire.BytesType:
			return errors.Join(p.take(1), p.takeFrom(f.bytes, known.Message(), depth+1))
		case known.IsPacked() && f.kind == protowire.BytesType:
			return p.take(len(f.bytes))
		case known.IsList():
			return p.take(1)
		}
		return nil
	})
}
