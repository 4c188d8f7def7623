package access

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"

	"balsa.example/state/auth"
)

// Tokens makes tokens, and knows the users of those it made. cluster is the identity of the cluster: two that were
// restored from one backup have the same users, stamps and secret.
type Tokens interface {
	issue(t *auth.Table, cluster uint64, u User, now time.Time) (string, error)
	verify(t *auth.Table, cluster uint64, token string, now time.Time) (User, bool)
}

// DefaultTTL is how long a token is good that is not used.
const DefaultTTL = 300 * time.Second

const (
	// tokenFormat is the first byte of a token: format, stamp, seconds since 1970 until which it
	// is good (uvarints), name, and a MAC over the cluster and these.
	tokenFormat = 2
	macBytes    = 16
	// maxTokenBytes is longer than any token of a valid name.
	maxTokenBytes = 2 << 10
	// maxUsed bounds the tokens whose last use is known, beyond their own time.
	maxUsed = 1 << 16
)

// NewSimple returns tokens that are proved by the secret of the cluster. They are good for ttl
// after the last time that this member saw them; 0: DefaultTTL.
func NewSimple(ttl time.Duration) Tokens {
	return &simple{ttl: cmp.Or(ttl, DefaultTTL), used: map[[macBytes]byte]int64{}}
}

type simple struct {
	ttl time.Duration

	mu sync.Mutex
	// used has when tokens were last used, in seconds since 1970. A token that is not there goes
	// by its own time.
	used map[[macBytes]byte]int64
}

var encoding = base64.RawURLEncoding

func (s *simple) issue(t *auth.Table, cluster uint64, u User, now time.Time) (string, error) {
	b := binary.AppendUvarint([]byte{tokenFormat}, u.Stamp)
	b = binary.AppendUvarint(b, uint64(now.Add(s.ttl).Unix()))
	b = append(b, u.Name...)
	mac := macOf(t.Secret(), cluster, b)
	return encoding.EncodeToString(append(b, mac[:]...)), nil
}

func macOf(secret []byte, cluster uint64, b []byte) (mac [macBytes]byte) {
	h := hmac.New(sha256.New, secret)
	h.Write(binary.BigEndian.AppendUint64(nil, cluster))
	h.Write(b)
	copy(mac[:], h.Sum(nil))
	return mac
}

func (s *simple) verify(t *auth.Table, cluster uint64, token string, now time.Time) (User, bool) {
	if len(token) > maxTokenBytes || len(t.Secret()) == 0 {
		return User{}, false
	}
	b, err := encoding.DecodeString(token)
	// A token has one form: the decoder would also take line breaks, and any bits behind the last byte.
	if err != nil || encoding.EncodeToString(b) != token || len(b) < 1+macBytes || b[0] != tokenFormat {
		return User{}, false
	}
	signed, mac := b[:len(b)-macBytes], [macBytes]byte(b[len(b)-macBytes:])
	if want := macOf(t.Secret(), cluster, signed); !hmac.Equal(mac[:], want[:]) {
		return User{}, false
	}
	stamp, n := binary.Uvarint(signed[1:])
	if n <= 0 {
		return User{}, false
	}
	until, m := binary.Uvarint(signed[1+n:])
	if m <= 0 || !s.good(mac, int64(until), now.Unix()) {
		return User{}, false
	}
	return User{string(signed[1+n+m:]), stamp}, true
}

// good tells whether a token is good now, and notes that it was used.
func (s *simple) good(mac [macBytes]byte, until, now int64) bool {
	ttl := int64(s.ttl / time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.used[mac]
	if now > until && (!known || now > last+ttl) {
		delete(s.used, mac)
		return false
	}
	if known && last == now {
		return true
	}
	if !known && len(s.used) >= maxUsed {
		s.forget(now - ttl)
	}
	if known || len(s.used) < maxUsed {
		s.used[mac] = now
	}
	return true
}

// forget drops the tokens that were not used since.
func (s *simple) forget(since int64) {
	for mac, last := range s.used {
		if last < since {
			delete(s.used, mac)
		}
	}
}
