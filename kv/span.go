package kv

// Span is a set of keys: those with From <= key, and key < To unless To is empty. An empty
// To means no upper end. So the zero Span is the whole store.
//
// Every range of keys is turned into a Span once, where it comes in. Reads, deletes,
// compares, watches and permissions then share one meaning of its ends.
type Span struct{ From, To string }

// Single is the span of one key. Its end is the key's successor, the key and a zero byte.
func Single(key string) Span { return Span{key, key + "\x00"} }

// Prefix is the span of all keys that begin with a prefix. An empty prefix is the whole
// store.
func Prefix(prefix string) Span {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return Span{prefix, prefix[:i] + string([]byte{prefix[i] + 1})}
		}
	}
	return Span{From: prefix} // nothing but 0xff bytes: there is no key behind the last one
}

// FromKey is the span of all keys from one on.
func FromKey(key string) Span { return Span{From: key} }

// One returns the key of a span that can hold one key only.
func (s Span) One() (key string, ok bool) {
	n := len(s.From)
	return s.From, len(s.To) == n+1 && s.To[n] == 0 && s.To[:n] == s.From
}

// Empty tells whether no key is in the span.
func (s Span) Empty() bool { return s.To != "" && s.To <= s.From }

// Contains tells whether a key is in the span.
func (s Span) Contains(key string) bool { return s.From <= key && (s.To == "" || key < s.To) }

// Overlaps tells whether some key can be in both spans.
func (s Span) Overlaps(t Span) bool {
	return !s.Empty() && !t.Empty() && (t.To == "" || s.From < t.To) && (s.To == "" || t.From < s.To)
}

// Covers tells whether every key of t is in s.
func (s Span) Covers(t Span) bool {
	return t.Empty() || s.From <= t.From && (s.To == "" || t.To != "" && t.To <= s.To)
}
