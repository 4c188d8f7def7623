package auth

import (
	"cmp"
	"slices"

	"balsa.example/kv"
)

// Access is what a permission allows. The numbers are etcd's.
type Access uint8

const (
	Read Access = iota
	Write
	ReadWrite
)

// Permission allows access to a span of keys. Key and End are as etcd has them: an empty End is
// the single key, and an End of one zero byte has no upper end.
type Permission struct {
	Access   Access
	Key, End string
}

const openEnd = "\x00"

// Span returns the keys of p.
func (p Permission) Span() kv.Span {
	switch p.End {
	case "":
		return kv.Single(p.Key)
	case openEnd:
		return kv.FromKey(p.Key)
	}
	return kv.Span{From: p.Key, To: p.End}
}

// PermissionOf is the permission for a span. The whole store begins with its lowest key. One for a span without keys
// names none, and so Do refuses it.
func PermissionOf(access Access, span kv.Span) Permission {
	p := Permission{Access: access, Key: max(span.From, openEnd), End: span.To}
	switch _, one := span.One(); {
	case span.To != "" && span.To <= p.Key: // as an End, one zero byte would mean all keys
		return Permission{Access: access}
	case one:
		p.End = ""
	case span.To == "":
		p.End = openEnd
	}
	return p
}

// valid tells whether p names keys.
func (p Permission) valid() bool {
	return p.Key != "" && p.Access <= ReadWrite && (p.End == "" || p.End == openEnd || p.Key < p.End)
}

func compareSpans(p, q Permission) int {
	return cmp.Or(cmp.Compare(p.Key, q.Key), cmp.Compare(p.End, q.End))
}

// merged returns the spans that permissions allow for reading or for writing. They are in order,
// and no two of them touch.
func merged(permissions []Permission, access Access) (spans []kv.Span) {
	for _, p := range permissions { // in the order of their keys
		if p.Access != access && p.Access != ReadWrite {
			continue
		}
		s := p.Span()
		if n := len(spans); n == 0 || spans[n-1].To != "" && spans[n-1].To < s.From {
			spans = append(spans, s)
		} else if last := &spans[n-1]; last.To != "" && (s.To == "" || last.To < s.To) {
			last.To = s.To
		}
	}
	return spans
}

// covering returns the span that a key is in.
func covering(spans []kv.Span, key string) (kv.Span, bool) {
	i, exact := slices.BinarySearchFunc(spans, key, func(s kv.Span, key string) int { return cmp.Compare(s.From, key) })
	if !exact {
		i--
	}
	if i < 0 || !spans[i].Contains(key) {
		return kv.Span{}, false
	}
	return spans[i], true
}

// Permitted tells whether a user may read, or write, all keys of a span. Several permissions, of
// several roles, may cover it together.
func (t *Table) Permitted(u *User, span kv.Span, write bool) bool {
	if u.Root() {
		return true
	}
	for from := max(span.From, openEnd); ; { // no key is below a zero byte
		to, ok := t.reach(u, from, write)
		switch {
		case !ok:
			return false
		case to == "" || span.To != "" && to >= span.To:
			return true
		}
		from = to
	}
}

// PermittedAll tells whether a user may read, or write, each of many keys. next returns the first
// key from one on. So keys that one permission covers cost no more than one.
func (t *Table) PermittedAll(u *User, next func(from string) (key string, ok bool), write bool) bool {
	if u.Root() {
		return true
	}
	for from := ""; ; {
		key, ok := next(from)
		if !ok {
			return true
		}
		to, ok := t.reach(u, key, write)
		if !ok || to == "" {
			return ok
		}
		from = to
	}
}

// reach returns how far one span reaches that a user may access and that has the key; an empty
// string is without end. It is false if there is none.
func (t *Table) reach(u *User, key string, write bool) (to string, ok bool) {
	for _, name := range u.Roles {
		r := t.Role(name)
		if r == nil {
			continue
		}
		spans := r.read
		if write {
			spans = r.write
		}
		s, covered := covering(spans, key)
		switch {
		case !covered:
		case s.To == "":
			return "", true
		case !ok || to < s.To:
			to, ok = s.To, true
		}
	}
	return to, ok
}
