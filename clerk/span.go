package clerk

import "balsa.example/api"

// Span is a set of keys: those with From <= key, and key < To unless To is empty. The zero
// Span is the whole store.
type Span struct{ From, To string }

// Key is the span of one key.
func Key(key string) Span { return Span{key, key + "\x00"} }

// Prefix is the span of all keys that begin with a prefix. An empty prefix is the whole
// store.
func Prefix(prefix string) Span {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return Span{prefix, prefix[:i] + string([]byte{prefix[i] + 1})}
		}
	}
	return Span{From: prefix} // nothing but 0xff bytes: no key is behind the last one
}

// FromKey is the span of all keys from one on.
func FromKey(key string) Span { return Span{From: key} }

// Contains tells whether a key is in the span.
func (s Span) Contains(key string) bool { return s.From <= key && (s.To == "" || key < s.To) }

func (s Span) message() *api.Span {
	return &api.Span{From: []byte(s.From), To: []byte(s.To), Open: s.To == ""}
}

// Keys says which keys are meant: one, or all of a span.
type Keys interface{ string | Span }

// spanOf returns the span that keys stand for.
func spanOf[K Keys](keys K) Span {
	switch k := any(keys).(type) {
	case string:
		return Key(k)
	default:
		return k.(Span)
	}
}
