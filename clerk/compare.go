package clerk

import (
	"bytes"

	"balsa.example/api"
)

// Compare is a condition of a transaction. Over a span it must hold for every key that the
// span has. A span without keys is compared as one absent key.
type Compare struct{ message *api.Compare }

// Number is a number of a key to compare with another, as in Version("k").Equals(3). An absent
// key has version, revisions and lease 0.
type Number struct {
	span   Span
	target api.Compare_Target
}

// Version is the version of keys.
func Version[K Keys](keys K) Number { return number(keys, api.Compare_VERSION) }

// CreateRevision is the store's revision that created keys.
func CreateRevision[K Keys](keys K) Number { return number(keys, api.Compare_CREATE_REVISION) }

// ModRevision is the store's revision that changed keys last.
func ModRevision[K Keys](keys K) Number { return number(keys, api.Compare_MOD_REVISION) }

// LeaseOf is the id of the lease that keys hang on; 0: none.
func LeaseOf[K Keys](keys K) Number { return number(keys, api.Compare_LEASE) }

func number[K Keys](keys K, target api.Compare_Target) Number { return Number{spanOf(keys), target} }

// Equals holds if the key's number is n.
func (k Number) Equals(n uint64) Compare { return k.is(api.Compare_EQUAL, n) }

// NotEquals holds if the key's number is not n.
func (k Number) NotEquals(n uint64) Compare { return k.is(api.Compare_NOT_EQUAL, n) }

// Above holds if the key's number is above n.
func (k Number) Above(n uint64) Compare { return k.is(api.Compare_GREATER, n) }

// Below holds if the key's number is below n.
func (k Number) Below(n uint64) Compare { return k.is(api.Compare_LESS, n) }

func (k Number) is(relation api.Compare_Relation, n uint64) Compare {
	return Compare{&api.Compare{Span: k.span.message(), Target: k.target, Relation: relation, Number: n}}
}

// Content is the value of a key to compare with another, as in Value("k").Equals(v). Of an
// absent key every comparison is false.
type Content struct{ span Span }

// Value is the value of keys.
func Value[K Keys](keys K) Content { return Content{spanOf(keys)} }

// Equals holds if the key's value is v.
func (k Content) Equals(v []byte) Compare { return k.is(api.Compare_EQUAL, v) }

// NotEquals holds if the key exists and its value is not v.
func (k Content) NotEquals(v []byte) Compare { return k.is(api.Compare_NOT_EQUAL, v) }

// Above holds if the key's value comes behind v in the order of bytes.
func (k Content) Above(v []byte) Compare { return k.is(api.Compare_GREATER, v) }

// Below holds if the key's value comes before v in the order of bytes.
func (k Content) Below(v []byte) Compare { return k.is(api.Compare_LESS, v) }

func (k Content) is(relation api.Compare_Relation, v []byte) Compare {
	return Compare{&api.Compare{Span: k.span.message(), Target: api.Compare_VALUE, Relation: relation, Value: bytes.Clone(v)}}
}

// Missing holds if there is no such key, or no key in the span.
func Missing[K Keys](keys K) Compare { return Version(keys).Equals(0) }

// Exists holds if there is such a key.
func Exists(key string) Compare { return Version(key).Above(0) }
