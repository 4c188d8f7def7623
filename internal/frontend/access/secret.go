package access

import "crypto/rand"

// NewSecret draws the secret of tokens, for the command that switches authentication on.
func NewSecret() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // it never fails
	return secret
}
