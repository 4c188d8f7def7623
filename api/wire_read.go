package api

import "google.golang.org/protobuf/encoding/protowire"

// Requests for ranges are encoded by hand, too: those who read small ranges send many.

func sizeRead(r *Range) int {
	if r == nil {
		return 0
	}
	size := sizeNumber(r.Revision) + sizeNumber(r.Limit) + sizeNumber(r.MaxBytes) + sizeNumber(uint64(r.Sort)) +
		sizeNumber(protowire.EncodeBool(r.Descend)) + sizeNumber(protowire.EncodeBool(r.KeysOnly)) + sizeNumber(protowire.EncodeBool(r.CountOnly)) +
		sizeNumber(r.MinModRevision) + sizeNumber(r.MaxModRevision) + sizeNumber(r.MinCreateRevision) + sizeNumber(r.MaxCreateRevision)
	if r.Span != nil {
		size += 1 + protowire.SizeBytes(sizeSpan(r.Span))
	}
	return size
}

func appendRead(dst []byte, r *Range) []byte {
	if r == nil {
		return dst
	}
	if r.Span != nil {
		dst = protowire.AppendTag(dst, 1, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeSpan(r.Span)))
		dst = appendSpan(dst, r.Span)
	}
	dst = appendNumber(dst, 2, r.Revision)
	dst = appendNumber(dst, 3, r.Limit)
	dst = appendNumber(dst, 4, r.MaxBytes)
	dst = appendNumber(dst, 5, uint64(r.Sort))
	dst = appendNumber(dst, 6, protowire.EncodeBool(r.Descend))
	dst = appendNumber(dst, 7, protowire.EncodeBool(r.KeysOnly))
	dst = appendNumber(dst, 8, protowire.EncodeBool(r.CountOnly))
	dst = appendNumber(dst, 9, r.MinModRevision)
	dst = appendNumber(dst, 10, r.MaxModRevision)
	dst = appendNumber(dst, 11, r.MinCreateRevision)
	return appendNumber(dst, 12, r.MaxCreateRevision)
}

func sizeSpan(s *Span) int {
	return sizeBytes(s.From) + sizeBytes(s.To) + sizeNumber(protowire.EncodeBool(s.Open))
}

func appendSpan(dst []byte, s *Span) []byte {
	dst = appendBytes(dst, 1, s.From)
	dst = appendBytes(dst, 2, s.To)
	return appendNumber(dst, 3, protowire.EncodeBool(s.Open))
}

// decodeRead reads r, which is one part, as is its span. Keys alias data.
func decodeRead(data []byte, r *Range, left *parts) error {
	if err := left.take(1); err != nil {
		return err
	}
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.BytesType):
			if r.Span == nil {
				r.Span = new(Span)
			}
			if err := left.take(1); err != nil {
				return err
			}
			return decodeSpan(f.bytes, r.Span)
		case f.kind != protowire.VarintType:
			return nil
		}
		switch f.number {
		case 2:
			r.Revision = f.value
		case 3:
			r.Limit = f.value
		case 4:
			r.MaxBytes = f.value
		case 5:
			r.Sort = Range_Sort(f.value)
		case 6:
			r.Descend = protowire.DecodeBool(f.value)
		case 7:
			r.KeysOnly = protowire.DecodeBool(f.value)
		case 8:
			r.CountOnly = protowire.DecodeBool(f.value)
		case 9:
			r.MinModRevision = f.value
		case 10:
			r.MaxModRevision = f.value
		case 11:
			r.MinCreateRevision = f.value
		case 12:
			r.MaxCreateRevision = f.value
		}
		return nil
	})
}

func decodeSpan(data []byte, s *Span) error {
	return fields(data, func(f field) error {
		switch {
		case f.is(1, protowire.BytesType):
			s.From = f.bytes
		case f.is(2, protowire.BytesType):
			s.To = f.bytes
		case f.is(3, protowire.VarintType):
			s.Open = protowire.DecodeBool(f.value)
		}
		return nil
	})
}
